// Settings of Jaeger's pages. They are a script, because the link to Grafana depends on HOPLINE_PORT_OFFSET, which moves the
// ports of Jaeger and Grafana by the same number. Only the browser has the port of this page. The script contains no dollar
// sign, because Jaeger would replace what follows it as the name of a variable.
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
  // Jaeger replaces `#{…}`, which must not be encoded. The range begins an hour before the trace and ends an hour after it,
  // because log records about waits and late work are outside the spans.
  const query = encodeURIComponent(JSON.stringify(panes))
    .replace("TRACE", "#{traceID}")
    .replace("FROM", "#{startTime | add -3600000000 | epoch_micros_to_date_iso}")
    .replace("TO", "#{endTime | add 3600000000 | epoch_micros_to_date_iso}");
  return {
    monitor: { menuEnabled: true },
    dependencies: { menuEnabled: true },
    search: { maxLimit: 200 }, // a search with 1,000 results would exceed Jaeger's memory limit
    linkPatterns: [
      {
        type: "traces",
        url: grafana + "/explore?schemaVersion=1&orgId=1&panes=" + query,
        text: "Log records of this trace",
      },
    ],
  };
}
