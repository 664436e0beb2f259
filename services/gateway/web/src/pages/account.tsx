/** Login and registration. */

import { useEffect, useRef } from "preact/hooks";

import { api, session } from "../api";
import type { User } from "../api/types";
import { Field, textOf } from "../components/field";
import { PageHeading } from "../components/heading";
import { useCommand } from "../components/load";
import { Problem } from "../components/problem";
import { navigate, route } from "../router";
import { announce } from "../state/announcements";
import { isSignedIn } from "../state/session";

const FIELDS = ["email", "password", "name"];

export function LoginPage() {
  const form = useRef<HTMLFormElement>(null);
  const login = useCommand("sign in", async () => {
    if (form.current === null) return;
    await session.signIn(textOf(form.current, "email"), textOf(form.current, "password"));
    announce("You are signed in.");
  });
  useReturn();
  return (
    <>
      <PageHeading title="Sign in" />
      <form ref={form} class="narrow" onSubmit={submitWith(login.start)}>
        <Problem error={login.error} shownFields={FIELDS} />
        <Field label="Email address" name="email" type="email" autocomplete="username" required error={login.error} />
        <Field label="Password" name="password" type="password" autocomplete="current-password" required error={login.error} />
        <button type="submit" aria-disabled={login.isBusy}>
          {login.isBusy ? "Signing in…" : "Sign in"}
        </button>
      </form>
      <p>
        No account yet? <a href={`#/register${queryOfNext()}`}>Register</a>.
      </p>
    </>
  );
}

export function RegisterPage() {
  const form = useRef<HTMLFormElement>(null);
  const registration = useCommand("register", async (action) => {
    if (form.current === null) return;
    const [email, password, name] = [textOf(form.current, "email"), textOf(form.current, "password"), textOf(form.current, "name")];
    await api.json<User>("/v2/users", { method: "POST", body: { email, password, name }, authenticated: false, action });
    await session.signIn(email, password);
    announce("Your account was created, and you are signed in.");
  });
  const { error } = registration;
  useReturn();
  return (
    <>
      <PageHeading title="Register" />
      <form ref={form} class="narrow" onSubmit={submitWith(registration.start)}>
        <Problem error={error} shownFields={FIELDS} />
        <Field label="Name" name="name" autocomplete="name" required maxLength={100} error={error} />
        <Field label="Email address" name="email" type="email" autocomplete="username" required maxLength={254} error={error} />
        <Field
          label="Password"
          name="password"
          type="password"
          autocomplete="new-password"
          hint="At least 8 characters."
          required
          minLength={8}
          maxLength={128}
          error={error}
        />
        <button type="submit" aria-disabled={registration.isBusy}>
          {registration.isBusy ? "Registering…" : "Register"}
        </button>
      </form>
      <p>
        You have an account? <a href={`#/login${queryOfNext()}`}>Sign in</a>.
      </p>
    </>
  );
}

/** Go to the page that required the login as soon as a user is signed in, also if another tab signed in. */
function useReturn(): void {
  const signedIn = isSignedIn.value;
  useEffect(() => {
    if (signedIn) navigate(nextPage());
  }, [signedIn]);
}

/** Return the page that required the login, from the query. Only pages of this shop are accepted. */
function nextPage(): string {
  const next = route.peek().query.get("next") ?? "/";
  return /^\/[\w/-]*$/.test(next) ? next : "/";
}

function queryOfNext(): string {
  const next = nextPage();
  return next === "/" ? "" : `?next=${encodeURIComponent(next)}`;
}

function submitWith(start: () => void): (event: Event) => void {
  return (event) => {
    event.preventDefault();
    start();
  };
}
