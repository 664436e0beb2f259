/** Starts the page. */

import { render } from "preact";

import { App } from "./app";
import { loadConfig } from "./config";
import { startRouter } from "./router";
import { config } from "./state/config";
import { startConnection } from "./state/connection";
import { startOrders } from "./state/orders";
import { startProducts } from "./state/products";
import { startReports } from "./state/reports";
import { continueSession } from "./state/session";
import { applyTheme } from "./state/theme";
import { loadTelemetry } from "./telemetry";
import "./styles/main.css";

applyTheme();
startRouter();
startConnection();
startProducts();
startOrders();
startReports();
void continueSession();
void loadConfig().then((loaded) => {
  config.value = loaded;
  return loadTelemetry(loaded.telemetry);
});

const root = document.getElementById("app");
if (root !== null) render(<App />, root);
