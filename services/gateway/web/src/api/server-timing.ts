/** The Server-Timing header of the gateway: one entry per upstream call, then `total`. */

export interface ServerTiming {
  readonly name: string;
  /** Milliseconds. */
  readonly duration: number;
  /** For example "2 attempts". */
  readonly description: string;
}

const MAX_ENTRIES = 50;

/** Parse `orders;dur=3.1;desc="2 attempts", total;dur=4.0`. Malformed entries are ignored. */
export function parseServerTiming(header: string | null): ServerTiming[] {
  if (header === null) return [];
  const entries: ServerTiming[] = [];
  for (const part of header.match(/(?:[^,"]|"(?:[^"\\]|\\.)*")+/g) ?? []) {
    const [name = "", ...parameters] = part.match(/(?:[^;"]|"(?:[^"\\]|\\.)*")+/g)?.map((item) => item.trim()) ?? [];
    if (!name || entries.length >= MAX_ENTRIES) continue;
    const values = new Map(parameters.map(parseParameter));
    const duration = Number(values.get("dur") ?? "0");
    entries.push({ name, duration: Number.isFinite(duration) ? duration : 0, description: values.get("desc") ?? "" });
  }
  return entries;
}

function parseParameter(parameter: string): [string, string] {
  const separator = parameter.indexOf("=");
  if (separator < 0) return [parameter.toLowerCase(), ""];
  const value = parameter.slice(separator + 1).trim();
  const unquoted = value.startsWith('"') ? value.slice(1, -1).replace(/\\(.)/g, "$1") : value;
  return [parameter.slice(0, separator).trim().toLowerCase(), unquoted];
}
