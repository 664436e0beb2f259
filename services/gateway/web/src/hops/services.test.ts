import { readFileSync } from "node:fs";

import { describe, expect, test } from "vitest";

const SERVICES = read("services.css");
const TOKENS = read("../styles/tokens.css");

/** The minimum for text of normal size (WCAG 2.2, 1.4.3). */
const MIN_CONTRAST = 4.5;

function read(path: string): string {
  return readFileSync(new URL(path, import.meta.url), "utf-8");
}

/** Return the declarations of one rule of a style sheet. */
function declarations(css: string, selector: string): string[] {
  const begin = css.indexOf(`${selector} {`);
  if (begin === -1) throw new Error(`the style sheet has no rule for ${selector}`);
  return css.slice(css.indexOf("{", begin) + 1, css.indexOf("}", begin)).trim().split(/\s*\n\s*/);
}

/** Return the colours of one rule of a style sheet. */
function colours(css: string, selector: string): Map<string, string> {
  const rule = declarations(css, selector).join("\n");
  return new Map(Array.from(rule.matchAll(/--([a-z-]+): (#[0-9a-f]{6});/g), ([, name = "", value = ""]) => [name, value]));
}

/** Return one colour. A missing colour is an error, because its contrast would be NaN, which is not below any limit. */
function colourOf(theme: Map<string, string>, name: string): string {
  const value = theme.get(name);
  if (value === undefined) throw new Error(`--${name} has no colour`);
  return value;
}

function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((index) => {
    const channel = Number.parseInt(colour.slice(index, index + 2), 16) / 255;
    return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one: string, other: string): number {
  const [darker = 0, lighter = 0] = [luminance(one), luminance(other)].sort((left, right) => left - right);
  return (lighter + 0.05) / (darker + 0.05);
}

test("contrast is computed as WCAG defines it", () => {
  expect(contrast("#000000", "#ffffff")).toBeCloseTo(21);
  expect(contrast("#767676", "#ffffff")).toBeCloseTo(4.54, 1);
});

describe.each([
  ["light", ":root"],
  ["dark by preference", ':root:not([data-theme="light"])'],
  ["dark by selection", ':root[data-theme="dark"]'],
])("the %s theme", (_, selector) => {
  const services = colours(SERVICES, selector);
  const tokens = colours(TOKENS, selector);

  test("has a colour for each service, and each differs from the others", () => {
    expect(services.size).toBe(7);
    expect(new Set(services.values()).size).toBe(7);
  });

  test.each(["background", "surface", "surface-quiet"])("is readable on --%s", (surface) => {
    const background = colourOf(tokens, surface);
    const unreadable = [...services].filter(([, colour]) => contrast(colour, background) < MIN_CONTRAST);
    expect(unreadable).toEqual([]);
  });
});

test("a missing colour is an error", () => {
  expect(() => colourOf(colours(TOKENS, ":root"), "no-such-surface")).toThrow("--no-such-surface has no colour");
});

test.each([
  ["services.css", SERVICES],
  ["tokens.css", TOKENS],
])("both rules of the dark theme in %s are the same", (_, css) => {
  const preferred = declarations(css, ':root:not([data-theme="light"])');
  expect(preferred.length).toBeGreaterThan(0);
  expect(preferred).toEqual(declarations(css, ':root[data-theme="dark"]'));
});
