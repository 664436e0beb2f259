/** The rows of a waterfall. Opening a row shows the attributes of its span. */

import { useRef, useState } from "preact/hooks";

import { formatDuration } from "./format";
import { hasFailed, reasonOf, type TraceSpan } from "./trace";
import type { Fold, Row, Waterfall } from "./waterfall";

const MAX_INDENT = 12;

export function WaterfallView({ waterfall }: { readonly waterfall: Waterfall }) {
  const { rows, folds } = waterfall;
  const list = useRef<HTMLOListElement>(null);
  const [active, setActive] = useState(0);
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());

  const focusRow = (index: number): void => {
    const bounded = Math.max(0, Math.min(rows.length - 1, index));
    setActive(bounded);
    list.current?.querySelectorAll("button")[bounded]?.focus();
  };
  const setRowOpen = (id: string, isOpen: boolean): void => {
    const changed = new Set(open);
    if (isOpen) changed.add(id);
    else changed.delete(id);
    setOpen(changed);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const current = [...(list.current?.querySelectorAll("button") ?? [])].findIndex((button) => button === event.target);
    const row = rows[current];
    if (row === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    const { span_id: id } = row.span;
    const actions: Readonly<Record<string, () => void>> = {
      ArrowDown: () => {
        focusRow(current + 1);
      },
      ArrowUp: () => {
        focusRow(current - 1);
      },
      Home: () => {
        focusRow(0);
      },
      End: () => {
        focusRow(rows.length - 1);
      },
      ArrowRight: () => {
        setRowOpen(id, true);
      },
      ArrowLeft: () => {
        // The first press closes an open row, the next one moves to the parent.
        if (open.has(id)) setRowOpen(id, false);
        else if (row.parent !== undefined) focusRow(rows.findIndex(({ span }) => span === row.parent));
      },
    };
    const action = actions[event.key];
    if (action === undefined) return;
    event.preventDefault();
    action();
  };
  return (
    <ol class="waterfall" aria-labelledby="waterfall-title" ref={list} onKeyDown={onKeyDown}>
      {rows.map((row, index) => {
        const isOpen = open.has(row.span.span_id);
        return (
          <li key={row.span.span_id} data-service={row.span.service} data-failed={hasFailed(row.span)}>
            <button
              type="button"
              class="waterfall-row"
              tabIndex={index === active ? 0 : -1}
              aria-expanded={isOpen}
              onFocus={() => {
                setActive(index);
              }}
              onClick={() => {
                setRowOpen(row.span.span_id, !isOpen);
              }}
            >
              <RowContent row={row} folds={folds} />
            </button>
            {isOpen && <Attributes row={row} />}
          </li>
        );
      })}
    </ol>
  );
}

function RowContent({ row, folds }: { readonly row: Row; readonly folds: readonly Fold[] }) {
  const { span, depth } = row;
  return (
    <>
      <span class="waterfall-name" style={{ paddingInlineStart: `${Math.min(depth, MAX_INDENT) * 0.75}rem` }}>
        <span class="visually-hidden">Level {depth + 1}: </span>
        <span class="waterfall-service">{span.service}</span> {span.name}
        {hasFailed(span) && <span class="waterfall-failed"> ✕ failed</span>}
      </span>
      <span class="waterfall-time">{formatDuration(span.duration_us / 1000)}</span>
      <span class="waterfall-track" aria-hidden="true">
        {folds.map(({ position }) => (
          <span key={position} class="waterfall-fold" style={{ insetInlineStart: percent(position) }}>
            ⋯
          </span>
        ))}
        <span
          class="waterfall-bar"
          style={{ insetInlineStart: `min(${percent(row.left)}, calc(100% - 4px))`, inlineSize: percent(row.width) }}
        />
      </span>
    </>
  );
}

function Attributes({ row }: { readonly row: Row }) {
  const { span, parent, isOrphan, startedAt } = row;
  const origin = parent === undefined ? (isOrphan ? "has not arrived" : "none, this is the root") : nameOf(parent);
  const entries: (readonly [string, string])[] = [
    ["start", `+${formatDuration(startedAt)}`],
    ["duration", formatDuration(span.duration_us / 1000)],
    ["kind", span.kind.toLowerCase()],
    ["parent", origin],
    ...(hasFailed(span) ? [["failure", reasonOf(span)] as const] : []),
    ...Object.entries(span.attributes).map(([name, value]) => [name, String(value)] as const),
    ["span id", span.span_id],
  ];
  return (
    <dl class="waterfall-attributes">
      {entries.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function nameOf(span: TraceSpan): string {
  return `${span.service} ${span.name}`;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(2)}%`;
}
