/** The configuration of the page. */

import { signal } from "@preact/signals";

import { DEFAULT_CONFIG } from "../config";

export const config = signal(DEFAULT_CONFIG);
