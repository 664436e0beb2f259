/** The trace of an action as a waterfall, and links to the tools that show more. */

import { config } from "../state/config";
import { formatDuration } from "./format";
import type { Journey } from "./journey";
import { linksOf } from "./links";
import { createWaterfall } from "./waterfall";
import { WaterfallView } from "./waterfall-view";

export function TraceView({ journey }: { readonly journey: Journey }) {
  const { spans, traceId } = journey;
  const waterfall = createWaterfall(spans);
  const services = new Set(spans.map(({ service }) => service)).size;
  return (
    <>
      <ul class="hops-links">
        {linksOf(config.value.links, traceId, spans).map(({ text, address }) => (
          <li key={text}>
            <a href={address} target="_blank" rel="noreferrer">
              {text}
            </a>
          </li>
        ))}
      </ul>
      {spans.length > 0 && (
        <>
          <h3 id="waterfall-title">Trace</h3>
          <p class="quiet">
            {spans.length} spans of {services} services in {formatDuration(waterfall.duration)}
            {waterfall.folds.length > 0 && "; pauses without any span (⋯) are shortened"}. Arrow keys move and open the rows.
          </p>
          <WaterfallView waterfall={waterfall} />
        </>
      )}
    </>
  );
}
