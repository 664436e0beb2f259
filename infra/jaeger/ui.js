// Jaeger's settings for its pages. A script and not JSON, because HOPLINE_PORT_OFFSET moves Grafana's port by as much as
// the port of this page, which is what a browser knows. Without a dollar sign: Jaeger would replace what follows it.
function UIConfig() {
  const JAEGER = 16686;
  const GRAFANA = 3000;
  const port = GRAFANA + (Number(window.location.port || JAEGER) - JAEGER);
  const grafana = window.location.protocol + "//" + window.location.hostname + ":" + port;
  const panes = {
    logs: {
      datasource: "loki",
      queries: [
        {
          refId: "A",
          datasource: { type: "loki", uid: "loki" },
          expr: '{service_namespace="hopline"} | trace_id=`TRACE`',
        },
      ],
      range: { from: "FROM", to: "TO" },
    },
  };
  // Jaeger fills the parameters in after the rest was encoded: an hour before the trace to an hour after it, as log
  // records of waiting and of late work lie outside its spans.
  const query = encodeURIComponent(JSON.stringify(panes))
    .replace("TRACE", "#{traceID}")
    .replace("FROM", "#{startTime | add -3600000000 | epoch_micros_to_date_iso}")
    .replace("TO", "#{endTime | add 3600000000 | epoch_micros_to_date_iso}");
  return {
    monitor: { menuEnabled: true },
    dependencies: { menuEnabled: true },
    linkPatterns: [
      {
        type: "traces",
        url: grafana + "/explore?schemaVersion=1&orgId=1&panes=" + query,
        text: "Log records of this trace",
      },
    ],
  };
}
