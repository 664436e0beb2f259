/** Light or dark: the system's preference, or what the user selected. */

import { signal } from "@preact/signals";

import { storage } from "../lib/storage";

export type Theme = "system" | "light" | "dark";

const KEY = "hopline.theme";

export const theme = signal<Theme>(stored());

function stored(): Theme {
  const value = storage.getItem(KEY);
  return value === "light" || value === "dark" ? value : "system";
}

export function selectTheme(selected: Theme): void {
  theme.value = selected;
  if (selected === "system") storage.removeItem(KEY);
  else storage.setItem(KEY, selected);
  applyTheme();
}

export function applyTheme(): void {
  if (theme.value === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
}
