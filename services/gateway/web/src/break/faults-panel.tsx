/** The fault switches, for an admin who signs in here. */

import { signal } from "@preact/signals";
import { useRef, useState } from "preact/hooks";

import { api } from "../api";
import { ProblemError } from "../api/problem";
import { Field, textOf } from "../components/field";
import { Problem, useSecondsUntil } from "../components/problem";
import { CRASHES, describeFault, faultBetween, FaultSwitches, KINDS, PAIRS, signInAdmin } from "./faults";
import type { CallFault, Fault, FaultRequest, Pair } from "./faults";
import { usePolling } from "../components/use-polling";

const POLL_MS = 2_000;
const ADMIN_EMAIL = "admin@hopline.example";

/** The switches with the token of an admin. The token is in memory only, so a reload ends the login. */
const switches = signal<FaultSwitches | undefined>(undefined);

export function FaultsPanel() {
  const [rejection, setRejection] = useState<unknown>(undefined);
  return (
    <section class="panel" aria-labelledby="faults-title">
      <h2 id="faults-title">Faults</h2>
      {switches.value === undefined ? (
        <AdminLogin rejection={rejection} />
      ) : (
        <Switches switches={switches.value} onRejected={setRejection} />
      )}
    </section>
  );
}

/** `rejection` is the error that ended the last login. */
function AdminLogin({ rejection }: { readonly rejection: unknown }) {
  const form = useRef<HTMLFormElement>(null);
  const [error, setError] = useState<unknown>(rejection);
  const [isBusy, setBusy] = useState(false);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (form.current === null || isBusy) return;
    setBusy(true);
    setError(undefined);
    try {
      const token = await signInAdmin(textOf(form.current, "admin-email"), textOf(form.current, "admin-password"));
      switches.value = new FaultSwitches(api, token);
    } catch (reason) {
      setError(reason);
      setBusy(false);
    }
  };
  return (
    <form ref={form} class="narrow" onSubmit={submit}>
      <p>Only admins may inject faults. This login does not change your session in the shop, and a reload ends it.</p>
      <Problem error={error} />
      <Field label="Email address of the admin" name="admin-email" type="email" autocomplete="off" required defaultValue={ADMIN_EMAIL} />
      <Field label="Password of the admin" name="admin-password" type="password" autocomplete="off" required />
      <button type="submit" aria-disabled={isBusy}>
        {isBusy ? "Signing in…" : "Unlock the switches"}
      </button>
    </form>
  );
}

interface SwitchesProps {
  readonly switches: FaultSwitches;
  readonly onRejected: (error: unknown) => void;
}

function Switches({ switches: current, onRejected }: SwitchesProps) {
  const [faults, setFaults] = useState<readonly Fault[]>([]);
  const [pollError, setPollError] = useState<unknown>(undefined);
  const [changeError, setChangeError] = useState<unknown>(undefined);
  const [seconds, setSeconds] = useState(60);
  const [percent, setPercent] = useState(100);
  const run = async (request: () => Promise<void>, setError: (error: unknown) => void): Promise<void> => {
    try {
      await request();
      setError(undefined);
    } catch (reason) {
      setError(reason);
      // The token has expired, or is not an admin's.
      if (!(reason instanceof ProblemError) || (reason.status !== 401 && reason.status !== 403)) return;
      onRejected(reason);
      switches.value = undefined;
    }
  };
  const poll = async (): Promise<void> => {
    setFaults(await current.list());
  };
  usePolling(POLL_MS, () => run(poll, setPollError), [current]);
  const apply = (change: () => Promise<void>): void => {
    void run(async () => {
      await change();
      await poll();
    }, setChangeError);
  };
  const switchOn = (fault: Omit<FaultRequest, "for_seconds">): void => {
    apply(() => current.switchOn({ ...fault, for_seconds: seconds }));
  };
  const switchOff = (pair: Pair): void => {
    apply(() => current.switchOff(pair));
  };
  return (
    <>
      <Problem error={changeError ?? pollError} />
      <div class="row">
        <Choice label="Duration" value={seconds} onChange={setSeconds} options={DURATIONS} />
        <Choice label="Affected calls" value={percent} onChange={setPercent} options={SHARES} />
      </div>
      <div class="scroll" tabIndex={0} role="group" aria-label="Fault switches">
        <table class="fault-table">
          <thead>
            <tr>
              <th scope="col">Calls</th>
              {KINDS.map((kind) => (
                <th key={kind} scope="col">
                  {kind}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {PAIRS.map((pair) => (
              <tr key={nameOf(pair)}>
                <th scope="row">{nameOf(pair)}</th>
                {KINDS.map((kind) => (
                  <td key={kind}>
                    <Switch
                      pair={pair}
                      kind={kind}
                      isOn={faultBetween(faults, pair)?.kind === kind}
                      onSwitch={(isOn) => {
                        if (isOn) switchOn({ ...pair, kind, ...(kind === "slow" ? {} : { value: percent }) });
                        else switchOff(pair);
                      }}
                    />
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="row">
        {CRASHES.map(({ target, at, text }) => (
          <button
            key={text}
            type="button"
            class="secondary"
            onClick={() => {
              switchOn({ source: target, target, kind: "crash", at });
            }}
          >
            {text}
          </button>
        ))}
      </p>
      <ActiveFaults faults={faults} onSwitchOff={switchOff} />
    </>
  );
}

interface SwitchProps {
  readonly pair: Pair;
  readonly kind: CallFault;
  readonly isOn: boolean;
  readonly onSwitch: (isOn: boolean) => void;
}

function Switch({ pair, kind, isOn, onSwitch }: SwitchProps) {
  return (
    <button
      type="button"
      class="secondary fault-switch"
      aria-pressed={isOn}
      onClick={() => {
        onSwitch(!isOn);
      }}
    >
      <span class="visually-hidden">
        {kind} for calls {nameOf(pair)}:{" "}
      </span>
      {isOn ? "On" : "Off"}
    </button>
  );
}

function ActiveFaults({ faults, onSwitchOff }: { readonly faults: readonly Fault[]; readonly onSwitchOff: (pair: Pair) => void }) {
  return (
    <>
      <h3>Active faults</h3>
      {faults.length === 0 ? (
        <p class="quiet">None.</p>
      ) : (
        <ul class="list active-faults">
          {faults.map((fault) => (
            <li key={nameOf(fault)} class="list-row">
              <div>
                <strong>{nameOf(fault)}</strong>: {describeFault(fault)} <Remaining until={Date.parse(fault.until)} />
              </div>
              <button
                type="button"
                class="secondary"
                onClick={() => {
                  onSwitchOff(fault);
                }}
              >
                Switch off<span class="visually-hidden"> the fault of {nameOf(fault)}</span>
              </button>
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

function Remaining({ until }: { readonly until: number }) {
  return <span class="quiet">for {useSecondsUntil(until)} s</span>;
}

const DURATIONS = { 30: "30 seconds", 60: "1 minute", 300: "5 minutes" };
const SHARES = { 100: "all", 50: "half", 20: "a fifth" };

interface ChoiceProps {
  readonly label: string;
  readonly value: number;
  readonly options: Readonly<Record<number, string>>;
  readonly onChange: (value: number) => void;
}

function Choice({ label, value, options, onChange }: ChoiceProps) {
  return (
    <label class="field">
      {label}
      <select
        value={value}
        onChange={(event) => {
          onChange(Number(event.currentTarget.value));
        }}
      >
        {Object.entries(options).map(([option, text]) => (
          <option key={option} value={option}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}

function nameOf({ source, target }: Pair): string {
  return source === target ? target : `${source} → ${target}`;
}
