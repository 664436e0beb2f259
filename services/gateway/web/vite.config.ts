import { defineConfig } from "vitest/config";

const gateway = process.env.HOPLINE_GATEWAY_URL ?? "http://localhost:8000";

export default defineConfig({
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: "../src/gateway/assets",
    emptyOutDir: true,
    target: "es2022",
    sourcemap: false,
    // The Content-Security-Policy allows styles and scripts from files only.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 150,
  },
  server: { proxy: { "/v2": gateway, "/browser": gateway } },
  test: { environment: "happy-dom", include: ["src/**/*.test.{ts,tsx}"], restoreMocks: true },
});
