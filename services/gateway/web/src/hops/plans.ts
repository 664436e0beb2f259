/** The hops that an action causes, and the evidence for each of them (docs/telemetry.md, "One order, hop by hop"). */

export interface SpanPattern {
  readonly service: string;
  readonly name: RegExp;
}

/** One expected hop after the response. */
export interface HopPlan {
  readonly id: string;
  readonly label: string;
  /** The service that does the work. */
  readonly service: string;
  /** A span that proves the hop. Several spans are attempts at the same work. */
  readonly span?: SpanPattern;
  /** The kind of a notification that proves the hop. */
  readonly frame?: string;
  /** The span of the caller, if `span` is a call. An attempt that does not reach the service has only this span. */
  readonly caller?: SpanPattern;
}

interface Plan {
  readonly method: string;
  readonly path: RegExp;
  readonly hops: readonly HopPlan[];
}

function outbox(service: string, stream: string): HopPlan {
  const span = { service, name: new RegExp(`^publish ${stream}$`) };
  return { id: "outbox", label: "Outbox to stream", service, span };
}

function consumer(service: string, stream: string): HopPlan {
  const span = { service, name: new RegExp(`^process ${stream}$`) };
  return { id: `${service}-consumer`, label: `Consumer of ${service}`, service, span };
}

function push(kind: string): HopPlan {
  const span = { service: "notifications", name: /^send notification$/ };
  return { id: "push", label: "Push to this page", service: "notifications", frame: kind, span };
}

function job(name: string, label: string): HopPlan {
  return { id: "job", label, service: "workers", span: { service: "workers", name: new RegExp(`^run ${name}$`) } };
}

const EMAIL: HopPlan = { id: "email", label: "Email", service: "workers", span: { service: "workers", name: /^SMTP send$/ } };

function step(id: "packed" | "shipped", verb: "pack" | "ship"): HopPlan {
  const name = new RegExp(`^POST /internal/orders/\\{order_id\\}/${verb}$`);
  return {
    id,
    label: id === "packed" ? "Packed" : "Shipped",
    service: "workers",
    frame: `order.${id}`,
    span: { service: "orders", name },
    caller: { service: "workers", name },
  };
}

const PLANS: readonly Plan[] = [
  {
    method: "POST",
    path: /^\/v2\/orders$/,
    hops: [
      outbox("orders", "events:orders"),
      consumer("notifications", "events:orders"),
      push("order.placed"),
      consumer("workers", "events:orders"),
      job("send_order_email", "Job: confirm by email"),
      EMAIL,
      step("packed", "pack"),
      step("shipped", "ship"),
    ],
  },
  {
    method: "POST",
    path: /^\/v2\/orders\/[^/]+\/cancel$/,
    hops: [
      outbox("orders", "events:orders"),
      consumer("notifications", "events:orders"),
      push("order.cancelled"),
      consumer("workers", "events:orders"),
      job("send_order_email", "Job: confirm by email"),
      EMAIL,
    ],
  },
  {
    method: "POST",
    path: /^\/v2\/users$/,
    // The page has no WebSocket yet when the account is created, so its first notification is not pushed.
    hops: [
      outbox("users", "events:users"),
      consumer("notifications", "events:users"),
      consumer("workers", "events:users"),
      job("send_welcome_email", "Job: welcome by email"),
      EMAIL,
    ],
  },
  {
    method: "POST",
    path: /^\/v2\/reports$/,
    hops: [
      outbox("orders", "events:orders"),
      consumer("workers", "events:orders"),
      job("make_report", "Job: make the report"),
      push("report.ready"),
    ],
  },
];

/** Return the hops that follow the response to a request. */
export function plannedHops(method: string, url: string): readonly HopPlan[] {
  const [path = ""] = url.split("?", 1);
  return PLANS.find((plan) => plan.method === method && plan.path.test(path))?.hops ?? [];
}
