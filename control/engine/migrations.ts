// ④⑦ The schema of control's database, one step a version; a database of a newer hob is refused, never guessed at.

import type { DatabaseSync } from "node:sqlite";
import { HobError } from "../../base/errors.ts";

// A step is never edited once released: append another.
const steps: string[] = [
  `create table records (kind text not null, key text not null, revision integer not null, value blob not null,
     primary key (kind, key)) without rowid;
   create table calls (number integer primary key, id text not null unique, app text not null, function text not null,
     state text not null, retries integer not null, losses integer not null, finished_at_ms real not null, arguments blob not null,
     info blob not null);
   create index calls_by_app on calls (app, number);
   create index calls_unfinished on calls (number) where state in ('queued', 'running');
   create table logs (seq integer primary key, call text not null, app text not null, function text not null,
     container text not null, stream text not null, time_ms real not null, text text not null, dropped integer not null);
   create index logs_by_app on logs (app, seq);
   create index logs_by_call on logs (call, seq);`,
  `create table maps (number integer primary key, id text not null unique, app text not null, state text not null,
     finished_at_ms real not null, info blob not null);
   create index maps_unfinished on maps (number) where state = 'running';
   create table map_inputs (map integer not null, first integer not null, count integer not null, bytes blob not null);
   create unique index map_inputs_by_first on map_inputs (map, first, count);
   create table map_results (position integer primary key, map integer not null, block integer not null, count integer not null,
     bytes blob not null);
   create index map_results_by_map on map_results (map, position, count);
   create index map_results_by_block on map_results (map, block, position, count);
   alter table logs add column input integer;`,
  `alter table calls add column parent text not null default '';
   alter table calls add column queued_at_ms real not null default 0;
   alter table calls add column large text not null default '';
   create index calls_by_parent on calls (parent, number) where parent <> '';
   create index calls_large on calls (number, large) where large <> '';`,
  // Of which pool's journal this is a copy, and where it stands in it (control/engine/nats); pool '' is an embedded engine's own.
  `create table journal (commits integer not null, sequence integer not null, clean integer not null, pool text not null);
   insert into journal values (0, 0, 1, '');`,
];

export const schema = steps.length;

export function migrate(db: DatabaseSync, file: string): void {
  const row = db.prepare("pragma user_version").get() as { user_version: number };
  if (row.user_version > steps.length) {
    throw new HobError("precondition", `opening ${file}: it was written by a newer hob (schema ${row.user_version})`, {
      remedy: "update this hob, or move the state folder away",
    });
  }
  for (let version = row.user_version; version < steps.length; version++) {
    db.exec(`begin immediate; ${steps[version]}; pragma user_version = ${version + 1}; commit`);
  }
}
