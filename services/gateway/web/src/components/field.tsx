/** A labelled field of a form, with its error. */

import type { InputHTMLAttributes, TargetedInputEvent } from "preact";
import { useId } from "preact/hooks";

import { ProblemError } from "../api/problem";

interface FieldProps {
  readonly label: string;
  readonly name: string;
  readonly type?: "text" | "email" | "password" | "number" | "date";
  readonly autocomplete?: string;
  readonly required?: boolean;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly min?: number;
  readonly max?: number;
  /** The initial text of the field. */
  readonly defaultValue?: string;
  /** The text of the field after each rendering. It replaces the typed text, so `onInput` has to update it. */
  readonly value?: string | number;
  readonly onInput?: (event: TargetedInputEvent<HTMLInputElement>) => void;
  readonly onBlur?: () => void;
  readonly hint?: string;
  /** The error of the last request. Only its part about this field is shown. */
  readonly error?: unknown;
}

export function Field({ label, name, hint, error, type = "text", ...input }: FieldProps) {
  const id = useId();
  const message = errorOf(error, name);
  const descriptions = [hint && `${id}-hint`, message && `${id}-error`].filter(Boolean).join(" ");
  // Preact's types allow some attributes only with some values of `type`. This component has none of them.
  const attributes = { ...input, type } as InputHTMLAttributes;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {hint && (
        <p id={`${id}-hint`} class="quiet">
          {hint}
        </p>
      )}
      <input
        {...attributes}
        id={id}
        name={name}
        aria-invalid={message !== undefined}
        aria-describedby={descriptions || undefined}
      />
      {message && (
        <p id={`${id}-error`} class="field-error">
          {message}
        </p>
      )}
    </div>
  );
}

/** Return the text of a field in a submitted form. */
export function textOf(form: HTMLFormElement, name: string): string {
  const value = new FormData(form).get(name);
  return typeof value === "string" ? value : "";
}

function errorOf(error: unknown, name: string): string | undefined {
  if (!(error instanceof ProblemError)) return undefined;
  return error.errors.find(({ field }) => field === name || field.endsWith(`.${name}`))?.message;
}
