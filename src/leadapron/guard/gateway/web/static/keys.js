// Security keys and passkeys (WebAuthn). Everything else on these pages works without a script.
"use strict";

const bytes = (text) => {
  const plain = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
  return Uint8Array.from(plain, (character) => character.charCodeAt(0));
};
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const element = (id) => document.getElementById(id);
const say = (words) => { element("key-status").textContent = words; };
const named = (list) => (list || []).map((one) => ({ ...one, id: bytes(one.id) }));

function send(form, credential, challenge) {
  const part = credential.response;
  const response = { clientDataJSON: text(part.clientDataJSON) };
  if (part.attestationObject) {
    response.attestationObject = text(part.attestationObject);
    if (part.getTransports) response.transports = part.getTransports();
  } else {
    response.authenticatorData = text(part.authenticatorData);
    response.signature = text(part.signature);
    if (part.userHandle) response.userHandle = text(part.userHandle);
  }
  element("response").value = JSON.stringify({
    id: credential.id, rawId: text(credential.rawId), type: credential.type, response,
    clientExtensionResults: credential.getClientExtensionResults(),
    authenticatorAttachment: credential.authenticatorAttachment || undefined,
  });
  element("challenge").value = challenge;
  form.submit();
}

async function useKey() {
  const form = element("use-key").form;
  if (element("password") && !(element("name").value && element("password").value)) {
    say("Fill in name and password first.");
    element(element("name").value ? "password" : "name").focus();
    return;
  }
  say("Touch your key, or follow what the browser says.");
  const asked = await fetch("/guard/login/key", {
    method: "POST", credentials: "same-origin", body: new URLSearchParams({ name: element("name").value }),
  });
  if (!asked.ok) throw new Error();
  const { options, challenge } = await asked.json();
  const publicKey = { ...options, challenge: bytes(options.challenge), allowCredentials: named(options.allowCredentials) };
  send(form, await navigator.credentials.get({ publicKey }), challenge);
}

async function makeKey() {
  const button = element("make-key");
  const options = JSON.parse(button.dataset.options);
  say("Touch your key, or follow what the browser says.");
  const publicKey = {
    ...options, challenge: bytes(options.challenge), user: { ...options.user, id: bytes(options.user.id) },
    excludeCredentials: named(options.excludeCredentials),
  };
  send(button.form, await navigator.credentials.create({ publicKey }), button.dataset.challenge);
}

if (window.PublicKeyCredential && element("with-key")) {
  element("with-key").hidden = false;
  for (const [id, act] of [["use-key", useKey], ["make-key", makeKey]]) {
    const button = element(id);
    if (button) button.addEventListener("click", () => act().catch(() => say("That did not work. Try again, or use a code.")));
  }
}
