"""The look that Streamlit's theme cannot give: the sticky bar, tones, density, both themes."""

from __future__ import annotations

import streamlit as st
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_DARK = (
    "--pb-panel:#121922;--pb-line:#1f2a37;--pb-dim:#93a1b1;--pb-ok:#3fb950;--pb-warn:#e3b341;"
    "--pb-bad:#ff7b72;--pb-accent:#2dd4bf;--pb-ground:#0b0f14;--pb-on-accent:#0b0f14;"
    "--pb-ok-soft:rgba(63,185,80,.2);--pb-bad-soft:rgba(255,123,114,.2);"
)
_LIGHT = (
    "--pb-panel:#ffffff;--pb-line:#d5dde6;--pb-dim:#51606f;--pb-ok:#1a7f37;--pb-warn:#8a5a00;"
    "--pb-bad:#b42318;--pb-accent:#0f766e;--pb-ground:#f6f8fa;--pb-on-accent:#ffffff;"
    "--pb-ok-soft:rgba(26,127,55,.16);--pb-bad-soft:rgba(180,35,24,.14);"
)

_CSS = """
.pb-bar,[data-testid="stMetricValue"]{font-variant-numeric:tabular-nums}
.stMainBlockContainer>[data-testid="stVerticalBlock"]{gap:.6rem}
.stMainBlockContainer{padding:.5rem 1.25rem 3rem;max-width:none}
[data-testid="stHeader"]{background:transparent;height:2.25rem;min-height:0;pointer-events:none}
[data-testid="stHeader"] button{pointer-events:auto}
.stMainBlockContainer h1{font-size:1.5rem;padding:.4rem 0 .4rem}
[data-testid="stLayoutWrapper"]:has(>.st-key-statusbar){position:sticky;top:0;z-index:90}
.st-key-statusbar{background:var(--pb-ground);border-bottom:1px solid var(--pb-line);
padding:.45rem 0 .4rem}
.pb-bar{display:flex;flex-wrap:wrap;gap:.3rem 1.35rem;align-items:flex-start}
.pb-cell{display:inline-flex;flex-direction:column;line-height:1.25}
.pb-cell i{font-style:normal;font-size:.72rem;color:var(--pb-dim)}
.pb-cell b{font-weight:650;font-size:.95rem;white-space:nowrap}
.pb-cell u{display:block;height:3px;margin-top:2px;background:var(--pb-line);border-radius:2px}
.pb-cell s{display:block;height:3px;background:var(--pb-accent);border-radius:2px}
.pb-ok b{color:var(--pb-ok)}.pb-warn b{color:var(--pb-warn)}.pb-bad b{color:var(--pb-bad)}
.pb-dim b{color:var(--pb-dim);font-weight:500}
.pb-bad s{background:var(--pb-bad)}.pb-warn s{background:var(--pb-warn)}
.pb-live b,.pb-paper b,.pb-demo b{padding:0 .5em;border-radius:4px}
.pb-live b{background:#b42318;color:#fff}.pb-paper b{background:#0f766e;color:#fff}
.pb-demo b{background:#4b5b6d;color:#fff}
.pb-off .pb-cell:not(.pb-bad){opacity:.55}
.stMainBlockContainer h1,.stMainBlockContainer h2,.stMainBlockContainer h3{margin:0}
.pb-browser{font-size:.85rem}.pb-browser label{margin:0 .4rem;white-space:nowrap}
.pb-source{margin:0;color:var(--pb-dim);font-size:.85rem}
.pb-tiles{display:grid;grid-template-columns:repeat(var(--row),minmax(0,1fr));gap:.6rem}
.pb-tile{min-width:0;display:flex;flex-direction:column;gap:.15rem;padding:.55rem .7rem;
border:1px solid var(--pb-line);border-radius:6px;background:var(--pb-panel);
color:inherit!important;text-decoration:none!important}
.pb-tile i{font-style:normal;font-size:.8rem;color:var(--pb-dim)}
.pb-tile b{font-size:1.1rem;font-weight:500;font-variant-numeric:tabular-nums;
overflow-wrap:anywhere}
a.pb-tile:hover,a.pb-tile:focus-visible{border-color:var(--pb-accent)}
a.pb-tile:hover b,a.pb-tile:focus-visible b{color:var(--pb-accent)}
.pb-chip{display:inline-block;padding:.05rem .55rem;border:1px solid var(--pb-line);
border-radius:1rem;background:var(--pb-panel);text-decoration:none!important}
.pb-block .pb-num a{color:inherit!important;text-decoration:underline dotted;
text-underline-offset:.2em}
.pb-block .pb-num a:hover,.pb-block .pb-num a:focus-visible{color:var(--pb-accent)!important}
.pb-gain,.pb-block .pb-gain a{color:var(--pb-ok)!important}
.pb-loss,.pb-block .pb-loss a{color:var(--pb-bad)!important}
.pb-empty{border:1px dashed var(--pb-line);border-radius:8px;padding:1.1rem 1.25rem;
background:var(--pb-panel)}
.pb-empty b{display:block;margin-bottom:.25rem}.pb-empty p{margin:.15rem 0;color:var(--pb-dim)}
.pb-empty code{white-space:pre-wrap;word-break:break-word}
:where(.stButton,.stFormSubmitButton) button[kind^="primary"]{color:var(--pb-on-accent)}
.stButtonGroup button[data-variant="segmented_control"]{min-height:2.45rem}
.stMultiSelect [data-baseweb="tag"] *{color:var(--pb-on-accent)}
.st-key-killbutton button,.st-key-killconfirm button,.st-key-asked_kill button{
background:#b42318;border-color:#b42318;
color:#fff}[class*="st-key-kill"] button p{font-weight:700}
.st-key-killbutton button:hover,.st-key-killconfirm button:hover,.st-key-asked_kill button:hover{
background:#8f1b12;color:#fff;
border-color:#8f1b12}
.st-key-killbutton kbd,.st-key-killbutton [data-testid*=hortcut]{display:none}
[data-testid="stMainMenu"]{display:none}
[data-testid="stToastContainer"]{inset:auto 1rem 1rem auto!important;z-index:70;
pointer-events:none}
[data-testid="stToast"]{pointer-events:auto}
.pb-source a{color:var(--pb-accent)}
.pb-facts{border-collapse:collapse;font-size:.9rem;max-width:100%}
.pb-facts th,.pb-facts td{text-align:left;padding:.2rem .9rem .2rem 0;vertical-align:top;
border-bottom:1px solid var(--pb-line)}
.pb-facts u{display:block;height:4px;min-width:9rem;background:var(--pb-line);border-radius:2px}
.pb-facts s{display:block;height:4px;background:var(--pb-accent);border-radius:2px}
.pb-use.warn s{background:var(--pb-warn)}.pb-use.bad s{background:var(--pb-bad)}
.pb-facts th{color:var(--pb-dim);font-weight:500}
.pb-wrap th{white-space:nowrap}
.pb-blocks{columns:20rem;column-gap:.7rem}
.pb-block{break-inside:avoid;margin:0 0 .7rem;border:1px solid var(--pb-line);border-radius:8px;
background:var(--pb-panel);padding:.55rem .8rem .6rem;min-width:0}
.pb-block h4{margin:0;padding:0 0 .3rem;font-size:.9rem;font-weight:650}
.pb-block p{margin:.1rem 0;font-size:.9rem;color:var(--pb-dim)}
.pb-block .pb-facts{width:100%}
.pb-tight th,.pb-tight td{padding:.12rem .5rem .12rem 0;font-size:.86rem}
.pb-tight tr:last-child th,.pb-tight tr:last-child td{border-bottom:0}
.pb-num{text-align:right!important;font-variant-numeric:tabular-nums;white-space:nowrap}
.pb-facts .pb-at{white-space:nowrap}
.pb-scroll{overflow-x:auto}
.pb-block a{color:var(--pb-accent)}
.pb-quiet{color:var(--pb-dim)}
@media (min-width:960px){.st-key-drawer{position:fixed;right:0;top:var(--pb-bar-end,4.6rem);
bottom:0;z-index:80;
width:min(46rem,62vw);overflow-y:auto;background:var(--pb-ground);padding:.6rem 1.1rem 2rem;
border-left:1px solid var(--pb-line);box-shadow:-6px 0 18px rgba(0,0,0,.16)}}
.st-key-drawer h3{padding-top:.2rem}
.pb-wide{width:100%}
.pb-ladder{width:100%}.pb-ladder td{padding-left:.5rem}.pb-own td,.pb-own th{font-weight:650}
.pb-limits{width:100%;max-width:64rem}.pb-limits u{min-width:5rem}
.pb-limits td,.pb-limits th{vertical-align:middle}
.pb-limits .pb-group th{padding-top:.9rem;font-weight:650;color:inherit}
.pb-limits .pb-sub{padding-left:1.2rem;font-weight:400}
.pb-receipt{max-width:64rem}.pb-receipt h4{padding-top:.4rem}
.pb-barrow td{padding:0 0 .3rem!important;border-bottom:0!important}
.pb-barrow u{min-width:0;width:100%}
.pb-alert{border-left:3px solid var(--pb-dim);padding:.1rem .7rem}
.pb-alert p{margin:.05rem 0}.pb-alert span{color:var(--pb-dim);font-size:.85rem}
.pb-alert.pb-bad{border-color:var(--pb-bad)}.pb-alert.pb-warn{border-color:var(--pb-warn)}
td.pb-ok,td.pb-warn,td.pb-bad,td.pb-dim{white-space:nowrap}
.pb-facts td{overflow-wrap:anywhere}.pb-facts th+td:last-child{min-width:9ch}
.pb-toasts{position:fixed;right:1rem;bottom:1rem;z-index:80;width:min(22rem,calc(100vw - 2rem));
display:flex;flex-direction:column;gap:.4rem;font-size:.85rem}
.pb-toasts .pb-alert{background:var(--pb-panel);color:inherit;text-decoration:none;
padding:.5rem .7rem;border-radius:5px;box-shadow:0 2px 10px #0006;overflow-wrap:anywhere}
.stMainBlockContainer h3{font-size:1.05rem;padding:.9rem 0 .5rem}
[data-testid="stMetricValue"]{font-size:1.2rem}
#pb-nodata{position:fixed;left:0;right:0;top:0;z-index:2147483647;display:none;padding:.7rem 1rem;
background:#b42318;color:#fff;font-weight:600;font-size:.95rem}
#pb-nodata button{margin-left:1rem;padding:.25rem .8rem;border:1px solid #fff;border-radius:5px;
background:transparent;color:#fff;font:inherit;cursor:pointer}
body.pb-stale #pb-nodata{display:block}
body.pb-stale .stMain{filter:grayscale(1);opacity:.45}
body.pb-stale .st-key-statusbar button{pointer-events:none}
@media (max-width:640px){.pb-tiles{grid-template-columns:1fr 1fr}
.pb-tile:last-child:nth-child(odd){grid-column:1/-1}
.stMainBlockContainer{padding:.4rem .7rem 3rem}
[data-testid="stElementContainer"]:has([data-testid="stDataFrame"]){margin-top:1.9rem}
.pb-bar{gap:.25rem .9rem}.pb-cell b{font-size:.85rem}
.st-key-statusbar{padding-top:1.9rem}
.pb-bar{flex-wrap:nowrap;overflow-x:auto;scrollbar-width:none;padding-right:1.6rem;
mask-image:linear-gradient(90deg,#000 calc(100% - 1.6rem),transparent)}
.pb-cell{flex:none}.pb-cell.pb-bad{order:-1}.st-key-killbutton{flex:none}
.pb-wide tr>:first-child{position:sticky;left:0;z-index:1;background:var(--pb-panel);
min-width:7.5rem;overflow-wrap:normal}
.pb-wide .pb-barrow td{position:static!important}
.pb-wide tr:has(>.pb-said){display:grid;grid-template-columns:1fr auto;
border-bottom:1px solid var(--pb-line)}.pb-wide tr:has(>.pb-said)>*{border:0}
.pb-said{grid-column:1/-1}
.pb-limits tr{display:grid;grid-template-columns:1fr auto;border-bottom:1px solid var(--pb-line);
padding:.25rem 0}.pb-limits tr:first-child,.pb-limits td:nth-child(2){display:none}
.pb-limits th,.pb-limits td{border:0;padding:0 .3rem 0 0}
.pb-limits th{grid-area:1/1}.pb-limits td:nth-child(3){grid-area:2/1}
.pb-limits td:nth-child(5){grid-area:1/2}
.pb-limits td:nth-child(4){grid-column:1/-1;grid-row:3;padding:.2rem 0}}
"""


def dark() -> bool:
    """Say whether the browser shows the dark theme; dark where it is not known yet."""
    return st.context.theme.type != "light"


def apply() -> None:
    st.html(f"<style>:root{{{_DARK if dark() else _LIGHT}}}{_CSS}</style>")


# -- What Streamlit's page must know before it begins: the theme of this browser, and its ser --

THEME_COOKIE = "pitboss_theme"
THEMES = ("Dark", "Light", "System")

_SCRIPT = (
    b"<script>(()=>{const m=document.cookie.match(/(?:^|; )pitboss_theme=(Dark|Light|System)/);"
    b'localStorage.setItem("stActiveTheme-"+location.pathname+"-v2",'
    b'JSON.stringify(m?m[1]:"Dark"));'
    b"window.__streamlit={BACKEND_BASE_URL:location.origin}})()</script>"
)
_HEAD = b"<head>"
_DROPPED = frozenset({b"accept-encoding", b"if-none-match", b"if-modified-since", b"range"})
"""Headers of a request whose answer would not be the whole plain page."""


async def with_theme(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Let `app` answer a request for a page and put the script into its head."""
    headers = [pair for pair in scope["headers"] if pair[0] not in _DROPPED]
    started: list[Message] = []
    body = bytearray()

    async def collect(message: Message) -> None:
        if message["type"] == "http.response.start":
            started.append(message)
            return
        if message["type"] == "http.response.body":
            body.extend(message.get("body", b""))
            if message.get("more_body"):
                return
            whole = _with_script(bytes(body)) if _is_html(started[0]) else bytes(body)
            kept = [pair for pair in started[0]["headers"] if pair[0] not in _OF_THE_BODY]
            kept.append((b"content-length", str(len(whole)).encode()))
            await send({**started[0], "headers": kept})
            await send({"type": "http.response.body", "body": whole})

    await app({**scope, "headers": headers}, receive, collect)


_OF_THE_BODY = frozenset({b"content-length", b"etag", b"last-modified"})


def _is_html(start: Message) -> bool:
    return any(
        name == b"content-type" and value.startswith(b"text/html")
        for name, value in start["headers"]
    )


def _with_script(page: bytes) -> bytes:
    return page.replace(_HEAD, _HEAD + _SCRIPT, 1)
