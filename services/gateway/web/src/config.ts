/** The configuration of the page: `GET /browser/config`. */

export interface BrowserConfig {
  readonly environment: string;
  /** Whether the gateway has the routes for traces, fault switches and the state of its limits and circuits. */
  readonly development: boolean;
  readonly links: Readonly<Record<string, string | null>>;
  readonly telemetry: { readonly enabled: boolean; readonly traces_url: string; readonly metrics_url: string };
}

/** Used if the configuration cannot be loaded: the shop works without it. */
export const DEFAULT_CONFIG: BrowserConfig = {
  environment: "unknown",
  development: false,
  links: { docs: "/v2/docs" },
  telemetry: { enabled: false, traces_url: "", metrics_url: "" },
};

/** Load the configuration, or return the default one after 5 seconds or an error. */
export async function loadConfig(): Promise<BrowserConfig> {
  try {
    const response = await fetch("/browser/config", { cache: "no-store", signal: AbortSignal.timeout(5_000) });
    if (!response.ok) return DEFAULT_CONFIG;
    return { ...DEFAULT_CONFIG, ...((await response.json()) as Partial<BrowserConfig>) };
  } catch {
    return DEFAULT_CONFIG;
  }
}
