"""What is typed in the browser is sealed in the browser: this process only ever sees ciphertext.

A key is sealed for the vault, the vault's passphrase for the start of the engine that runs.

HPKE's single shot in base mode (RFC 9180: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM) by
the browser's own WebCrypto; the engine's vault opens it with a library's HPKE, and a test holds the
two together. A browser without X25519, or a page that came neither from this machine nor by https,
cannot seal and says so.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

import msgspec
import streamlit as st

from engine.domain.catalog import CredentialField
from engine.domain.plain import PlainDict
from storage.vault import context, unlock_context

HTML = """<form autocomplete="off"><div></div>
<button type="submit">Seal and send</button><p role="status"></p></form>"""

PHRASE_HTML = """<form autocomplete="off">
<label>The vault's passphrase <input name="phrase" type="password" autocomplete="off"
 placeholder="it never leaves this browser unencrypted"></label>
<button type="submit">Seal and open the vault</button><p role="status"></p></form>"""

CSS = """
form, form > div { display: grid; gap: .6rem; font: inherit; color: var(--st-text-color); }
label { display: grid; gap: .2rem; font-size: .875rem; }
input { font: inherit; padding: .45rem .6rem; border-radius: .4rem; color: inherit;
  background: var(--st-secondary-background-color); border: 1px solid var(--st-border-color); }
button { font: inherit; justify-self: start; padding: .4rem .9rem; border-radius: .4rem;
  color: inherit; background: transparent; border: 1px solid var(--st-border-color);
  cursor: pointer; }
p { margin: 0; min-height: 1.2em; font-size: .875rem; }
"""

SEAL = """
const text = (words) => new TextEncoder().encode(words);
const join = (...parts) => {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) { whole.set(part, at); at += part.length; }
  return whole;
};
const bytes = (coded) => Uint8Array.from(atob(coded), (letter) => letter.charCodeAt(0));
const coded = (raw) => btoa(String.fromCharCode(...raw));
const NONE = new Uint8Array(0);
const KEM = join(text("KEM"), new Uint8Array([0, 0x20]));
const HPKE = join(text("HPKE"), new Uint8Array([0, 0x20, 0, 1, 0, 2]));

const mac = async (key, data) => {
  const raw = key.length ? key : new Uint8Array(32);
  const made = await crypto.subtle.importKey(
    "raw", raw, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", made, data));
};
const extract = (suite, salt, label, given) =>
  mac(salt, join(text("HPKE-v1"), suite, text(label), given));
const expand = async (suite, key, label, info, length) => {
  const asked = join(new Uint8Array([0, length]), text("HPKE-v1"), suite, text(label), info);
  return (await mac(key, join(asked, new Uint8Array([1])))).slice(0, length);
};

export const seal = async (plain, receiver, info) => {
  const own = await crypto.subtle.generateKey({ name: "X25519" }, true, ["deriveBits"]);
  const sent = new Uint8Array(await crypto.subtle.exportKey("raw", own.publicKey));
  const theirs = await crypto.subtle.importKey("raw", receiver, { name: "X25519" }, false, []);
  const shared = new Uint8Array(await crypto.subtle.deriveBits(
    { name: "X25519", public: theirs }, own.privateKey, 256));
  const first = await extract(KEM, NONE, "eae_prk", shared);
  const secret = await expand(KEM, first, "shared_secret", join(sent, receiver), 32);
  const scope = join(new Uint8Array([0]),
    await extract(HPKE, NONE, "psk_id_hash", NONE), await extract(HPKE, NONE, "info_hash", info));
  const second = await extract(HPKE, secret, "secret", NONE);
  const key = await crypto.subtle.importKey(
    "raw", await expand(HPKE, second, "key", scope, 32), "AES-GCM", false, ["encrypt"]);
  const nonce = await expand(HPKE, second, "base_nonce", scope, 12);
  const closed = await crypto.subtle.encrypt({ name: "AES-GCM", iv: nonce }, key, plain);
  return join(sent, new Uint8Array(closed));
};

const unable = "This browser cannot seal here: open the page by 127.0.0.1 or https.";
"""

KEY_JS = """
const print = async (digits) => {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", text(digits)));
  return [...hash].map((one) => one.toString(16).padStart(2, "0")).join("").slice(0, 12);
};

export default function ({ parentElement, data, setTriggerValue }) {
  const form = parentElement.querySelector("form");
  const status = parentElement.querySelector("p");
  const fields = form.querySelector("div");
  if (form.dataset.before !== data.before) {
    form.dataset.before = data.before;
    fields.replaceChildren(...data.fields.map((one) => {
      const label = document.createElement("label");
      const input = document.createElement("input");
      input.name = one.name;
      input.type = one.secret && !one.shown ? "password" : "text";
      input.placeholder = one.hint;
      input.autocomplete = "off";
      label.append(one.title + " ", input);
      return label;
    }));
  }
  form.onsubmit = async (event) => {
    event.preventDefault();
    const secrets = {};
    let wallet = "";
    for (const one of data.fields) {
      const value = form.elements[one.name].value.trim();
      if (!new RegExp("^(?:" + one.pattern + ")$").test(value)) {
        status.textContent = one.wrong[0].toUpperCase() + one.wrong.slice(1) + ".";
        return;
      }
      if (one.secret) { secrets[one.name] = value; } else { wallet = value; }
    }
    if (!globalThis.crypto || !crypto.subtle) {
      status.textContent = unable;
      return;
    }
    try {
      const plain = text(JSON.stringify(secrets));
      const info = text(data.before + wallet.toLowerCase());
      const sealed = await seal(plain, bytes(data.receiver), info);
      const first = Object.values(secrets)[0].toLowerCase().replace(/^0x/, "");
      const fingerprint = await print(first);
      form.reset();
      status.textContent = "Sealed and sent: key " + fingerprint + ".";
      setTriggerValue("sealed", { wallet, fingerprint, sealed: coded(sealed) });
    } catch (error) {
      form.reset();
      status.textContent = "This browser cannot seal (" + error.name + "): use the command line.";
    }
  };
}
"""

PHRASE_JS = """
export default function ({ parentElement, data, setTriggerValue }) {
  const form = parentElement.querySelector("form");
  const status = parentElement.querySelector("p");
  form.onsubmit = async (event) => {
    event.preventDefault();
    if (!form.phrase.value) { status.textContent = "Type the passphrase first."; return; }
    if (!globalThis.crypto || !crypto.subtle) { status.textContent = unable; return; }
    try {
      const sealed = await seal(text(form.phrase.value), bytes(data.receiver), text(data.info));
      form.reset();
      status.textContent = "Sealed and sent.";
      setTriggerValue("sealed", { sealed: coded(sealed) });
    } catch (error) {
      form.reset();
      status.textContent = "This browser cannot seal (" + error.name + "): use the command line.";
    }
  };
}
"""

_form = st.components.v2.component("pitboss_sealing", html=HTML, css=CSS, js=SEAL + KEY_JS)
_phrase = st.components.v2.component(
    "pitboss_opening", html=PHRASE_HTML, css=CSS, js=SEAL + PHRASE_JS
)


def sealed_key(
    account: str, venue: str, fields: Sequence[CredentialField], public_key: bytes
) -> PlainDict | None:
    """Draw the form of what a venue asks for; None where nothing was sent.

    Gives wallet, fingerprint and ciphertext once, when it was sent.
    """
    before = context(account, venue, "").decode()
    # What the account is known by comes first; what a person may not see while typing it, last.
    asked = sorted((one for one in fields if one.asked), key=lambda one: one.secret)
    found = _form(
        data={
            "receiver": base64.b64encode(public_key).decode(),
            "before": before,
            "fields": [msgspec.to_builtins(one) for one in asked],
        },
        key=f"sealing:{account}",
        on_sealed_change=lambda: None,
    )
    sent = found.sealed
    return dict(sent) if sent else None


def sealed_passphrase(unlock_key: str) -> str | None:
    """Draw the form; gives the passphrase's ciphertext once, when it was sent, else None.

    `unlock_key` is what the engine that runs tells of itself, base64: its own for this start.
    """
    info = unlock_context(base64.b64decode(unlock_key)).decode()
    found = _phrase(
        data={"receiver": unlock_key, "info": info},
        key=f"opening:{unlock_key}",
        on_sealed_change=lambda: None,
    )
    return str(found.sealed["sealed"]) if found.sealed else None
