"""The tables, as a list of steps: a file of version N has had the first N of them. A step that was released never changes.

Times are UTC in ISO 8601 with microseconds, always of the same length, so that they sort as text and people can read them.
"""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE schedule (
            name TEXT PRIMARY KEY,
            timing TEXT NOT NULL,      -- all that decides when it is due; another one starts anew
            handled_at TEXT NOT NULL,  -- what was due until then is settled
            purged_at TEXT NOT NULL,   -- of what was due until then no jobs are kept: it is never fired again
            paused_at TEXT,
            paused_by TEXT,
            seen TEXT                  -- what an event was last fired for
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE job (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            origin TEXT NOT NULL,        -- 'schedule NAME', 'drill NAME' or 'backfill ID'
            logical_date TEXT NOT NULL,  -- as the schedule spells it; empty where there is none
            variant TEXT NOT NULL,       -- what tells apart several for one date
            target TEXT,
            parameters TEXT NOT NULL,
            due_at TEXT NOT NULL,
            note TEXT NOT NULL,
            state TEXT NOT NULL,
            token TEXT NOT NULL DEFAULT '',      -- of the start that may run it
            starts INTEGER NOT NULL DEFAULT 0,
            run_id TEXT,
            queued_at TEXT NOT NULL,
            begun_at TEXT,
            ended_at TEXT,
            UNIQUE (origin, logical_date, variant)
        )
        """,
        "CREATE INDEX job_state ON job (state, due_at)",
        "CREATE INDEX job_origin ON job (origin, due_at)",
        """
        CREATE TABLE backfill (
            id TEXT PRIMARY KEY,
            target TEXT,
            state TEXT NOT NULL,
            most_at_once INTEGER NOT NULL,
            newest_first INTEGER NOT NULL,
            options TEXT NOT NULL,
            made_at TEXT NOT NULL,
            made_by TEXT NOT NULL
        ) WITHOUT ROWID
        """,
    ),
)
