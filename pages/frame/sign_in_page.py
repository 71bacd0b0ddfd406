"""The sign-in page: one HTML text without scripts, shown before Streamlit is asked for anything."""

from __future__ import annotations

from html import escape

_STYLE = """
:root{color-scheme:dark;--ground:#0b0f14;--panel:#121922;--line:#1f2a37;--text:#e6edf3;
--dim:#93a1b1;--accent:#2dd4bf;--bad:#ff7b72}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--ground);
color:var(--text);font:14px/1.5 Inter,system-ui,sans-serif;padding:16px}
main{width:100%;max-width:360px;background:var(--panel);border:1px solid var(--line);
border-radius:10px;padding:28px}
h1{font-size:20px;margin:0 0 2px}p{margin:0 0 18px;color:var(--dim)}
label{display:block;font-weight:600;margin-bottom:6px}
input{width:100%;padding:10px 12px;border-radius:6px;border:1px solid var(--line);
background:var(--ground);color:var(--text);font:inherit}
input:focus,button:focus{outline:2px solid var(--accent);outline-offset:1px}
button{width:100%;margin-top:14px;padding:10px;border:0;border-radius:6px;
background:var(--accent);color:#04201c;font:inherit;font-weight:700;cursor:pointer}
.said{color:var(--bad);font-weight:600;margin:0 0 14px}
code{background:var(--ground);border:1px solid var(--line);border-radius:4px;padding:1px 5px;
word-break:break-word}
"""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>Sign in · Pitboss</title><style>{style}</style></head>
<body><main><h1>Pitboss</h1>{body}</main></body></html>
"""

_FORM = """<p>Sign in to this desk.</p>{said}
<form method="post" action="/sign-in">
<input type="hidden" name="next" value="{after}">
<input type="text" name="name" value="operator" autocomplete="username" hidden>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required
autofocus><button type="submit">Sign in</button></form>"""

_NOBODY = """<p>Nobody may sign in yet. In a terminal, in the folder of the program:</p>
<p><code>.venv/bin/python -m engine migrate</code></p>
<p><code>.venv/bin/python -m pages.frame.operator</code></p>
<p>The second command prints the first password once. Then load this page again.</p>"""

_SIGN_OUT = """<p>Signed in on this browser.</p>
<form method="post" action="/sign-out"><button type="submit">Sign out</button></form>"""


def form(after: str, said: str = "") -> str:
    """Return the page that asks for the password and then leads to `after`."""
    told = f'<p class="said" role="alert">{escape(said)}</p>' if said else ""
    return _PAGE.format(style=_STYLE, body=_FORM.format(after=escape(after, quote=True), said=told))


def nobody() -> str:
    """Return the page that says how the first operator is made."""
    return _PAGE.format(style=_STYLE, body=_NOBODY)


def sign_out() -> str:
    """Return the page with the button that signs out."""
    return _PAGE.format(style=_STYLE, body=_SIGN_OUT)
