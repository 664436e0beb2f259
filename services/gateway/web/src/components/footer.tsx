/** Links to the documentation of the API and to the tools of the deployment. */

import { config } from "../state/config";

const OWN_LINKS: readonly (readonly [string, string])[] = [
  ["/v2/docs", "API documentation"],
  ["/v2/openapi.json", "OpenAPI"],
  ["/v1/docs", "Version 1 (deprecated)"],
  ["/health/ready", "State of the services"],
];
const TOOLS: Readonly<Record<string, string>> = {
  traces: "Traces",
  logs: "Logs",
  mail: "Mail",
  metrics: "Metrics",
};

export function Footer() {
  const links = Object.entries(TOOLS).flatMap(([name, text]) => {
    const address = config.value.links[name];
    return address ? [[address, text] as const] : [];
  });
  return (
    <footer class="site-footer">
      <nav aria-label="Behind the shop">
        <ul>
          {[...OWN_LINKS, ...links].map(([address, text]) => (
            <li key={address}>
              <a href={address}>{text}</a>
            </li>
          ))}
        </ul>
      </nav>
      <p class="quiet">Environment: {config.value.environment}</p>
    </footer>
  );
}
