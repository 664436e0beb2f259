// Settings of Jaeger's pages. It is a script, because HOPLINE_PORT_OFFSET adds the same number to the ports of Grafana and of
// this page, and only the browser has the latter. It contains no dollar sign, because Jaeger would replace a variable.
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
  // Jaeger replaces the parameters after the rest was encoded. The range is an hour longer than the trace on both sides,
  // because log records of waiting and of late work are outside its spans.
  const query = encodeURIComponent(JSON.stringify(panes))
    .replace("TRACE", "#{traceID}")
    .replace("FROM", "#{startTime | add -3600000000 | epoch_micros_to_date_iso}")
    .replace("TO", "#{endTime | add 3600000000 | epoch_micros_to_date_iso}");
  return {
    monitor: { menuEnabled: true },
    dependencies: { menuEnabled: true },
    search: { maxLimit: 200 }, // a search of 1,000 traces would take more memory than Jaeger has
    linkPatterns: [
      {
        type: "traces",
        url: grafana + "/explore?schemaVersion=1&orgId=1&panes=" + query,
        text: "Log records of this trace",
      },
    ],
  };
}
