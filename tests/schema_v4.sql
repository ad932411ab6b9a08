-- The database's schema, version 4, as released. Never edit: migrations are tested against it.

CREATE TABLE runs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('running', 'done', 'interrupted', 'failed')),
        started_ns INTEGER NOT NULL,
        ended_ns INTEGER,
        exit_code INTEGER,
        version TEXT NOT NULL,
        model_id TEXT,
        options TEXT NOT NULL,
        counts TEXT NOT NULL,
        tracks_per_s REAL
    ) STRICT;

CREATE TABLE tracks (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        path BLOB NOT NULL UNIQUE,
        display TEXT NOT NULL,
        root BLOB NOT NULL,
        size_bytes INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        digest BLOB,
        container TEXT NOT NULL DEFAULT '',
        title TEXT NOT NULL DEFAULT '',
        artist TEXT NOT NULL DEFAULT '',
        album TEXT NOT NULL DEFAULT '',
        year INTEGER,
        note TEXT NOT NULL DEFAULT '',
        file_genres TEXT NOT NULL DEFAULT '[]',
        file_state TEXT,
        model_id TEXT,
        genre TEXT COLLATE NOCASE,
        confidence REAL,
        probabilities TEXT NOT NULL DEFAULT '{}',
        estimate_reason TEXT NOT NULL DEFAULT '',
        duration_s REAL,
        analysed_s REAL,
        n_chunks INTEGER,
        short INTEGER NOT NULL DEFAULT 0,
        abstain TEXT NOT NULL DEFAULT '',
        tempo_bpm REAL,
        tempo_strength REAL,
        loudness_lufs REAL,
        loudness_range_lu REAL,
        status TEXT,
        reason TEXT NOT NULL DEFAULT '',
        settings_key TEXT NOT NULL DEFAULT '',
        first_seen_ns INTEGER NOT NULL,
        listened_ns INTEGER,
        updated_ns INTEGER NOT NULL,
        missing_since_ns INTEGER,
        run_id INTEGER REFERENCES runs (id) ON DELETE SET NULL
    ) STRICT;

CREATE INDEX tracks_by_size ON tracks (size_bytes);

CREATE INDEX tracks_by_digest ON tracks (digest);

CREATE INDEX tracks_by_root ON tracks (root);

CREATE INDEX tracks_by_run ON tracks (run_id);

CREATE INDEX tracks_by_time ON tracks (updated_ns);

CREATE INDEX tracks_settled ON tracks (path, size_bytes, mtime_ns, settings_key) WHERE model_id IS NOT NULL AND missing_since_ns IS NULL AND status NOT IN ('changed_meanwhile', 'failed', 'refused');

CREATE INDEX tracks_missing ON tracks (path) WHERE missing_since_ns IS NOT NULL;

CREATE INDEX tracks_by_artist ON tracks (artist COLLATE NOCASE, album COLLATE NOCASE) WHERE missing_since_ns IS NULL;

CREATE INDEX tracks_by_title ON tracks (title COLLATE NOCASE) WHERE missing_since_ns IS NULL;

CREATE INDEX tracks_by_sureness ON tracks (confidence) WHERE missing_since_ns IS NULL;

CREATE INDEX tracks_by_length ON tracks (duration_s) WHERE missing_since_ns IS NULL;

CREATE INDEX tracks_unsure ON tracks ((CAST(substr((probabilities || ',"":0'), instr((probabilities || ',"":0'), '":') + 2) AS REAL) - CAST(substr(substr((probabilities || ',"":0'), instr((probabilities || ',"":0'), ',"')), instr(substr((probabilities || ',"":0'), instr((probabilities || ',"":0'), ',"')), '":') + 2) AS REAL))) WHERE missing_since_ns IS NULL AND model_id IS NOT NULL AND abstain = '' AND genre IS NULL;

CREATE INDEX tracks_sure ON tracks (file_genres, genre, max(1 - (CAST(substr((probabilities || ',"":0'), instr((probabilities || ',"":0'), '":') + 2) AS REAL) - CAST(substr(substr((probabilities || ',"":0'), instr((probabilities || ',"":0'), ',"')), instr(substr((probabilities || ',"":0'), instr((probabilities || ',"":0'), ',"')), '":') + 2) AS REAL)), CAST(substr((probabilities || ',"":0'), instr((probabilities || ',"":0'), '":') + 2) AS REAL)) DESC) WHERE missing_since_ns IS NULL AND model_id IS NOT NULL AND abstain = '' AND genre IS NOT NULL AND file_genres <> '[]';

CREATE INDEX tracks_by_status ON tracks (status, missing_since_ns);

CREATE INDEX tracks_by_genre ON tracks (genre, confidence, missing_since_ns);

CREATE INDEX tracks_by_model ON tracks (model_id, missing_since_ns);

CREATE INDEX tracks_by_tempo ON tracks (tempo_bpm);

CREATE TABLE analyses (
        track_id INTEGER PRIMARY KEY REFERENCES tracks (id) ON DELETE CASCADE,
        model_id TEXT NOT NULL,
        n_chunks INTEGER NOT NULL,
        n_genres INTEGER NOT NULL,
        activations BLOB NOT NULL,
        embedding BLOB NOT NULL
    ) STRICT;

CREATE TABLE outcomes (
        run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        track_id INTEGER NOT NULL REFERENCES tracks (id) ON DELETE CASCADE,
        status TEXT NOT NULL,
        reason TEXT NOT NULL,
        genre TEXT,
        confidence REAL,
        before TEXT NOT NULL,
        after TEXT NOT NULL,
        PRIMARY KEY (run_id, track_id)
    ) STRICT, WITHOUT ROWID;

CREATE INDEX outcomes_by_track ON outcomes (track_id);

CREATE TABLE edits (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        run_id INTEGER NOT NULL REFERENCES runs (id),
        track_id INTEGER REFERENCES tracks (id) ON DELETE SET NULL,
        path BLOB NOT NULL,
        before TEXT NOT NULL,
        after TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('intended', 'done', 'abandoned', 'superseded', 'undone')),
        undoes INTEGER REFERENCES edits (id),
        size_before_bytes INTEGER NOT NULL,
        mtime_before_ns INTEGER NOT NULL,
        size_after_bytes INTEGER,
        mtime_after_ns INTEGER,
        intended_ns INTEGER NOT NULL,
        settled_ns INTEGER
    ) STRICT;

CREATE INDEX edits_by_run ON edits (run_id);

CREATE INDEX edits_by_track ON edits (track_id, state);

CREATE INDEX edits_by_state ON edits (state, run_id);

CREATE INDEX edits_by_undoes ON edits (undoes);

CREATE TABLE labels (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        track_id INTEGER REFERENCES tracks (id) ON DELETE SET NULL,
        path BLOB NOT NULL,
        genre TEXT NOT NULL,
        source TEXT NOT NULL CHECK (source IN ('user', 'import', 'tags')),
        at_ns INTEGER NOT NULL,
        UNIQUE (track_id, source, genre)
    ) STRICT;

CREATE VIRTUAL TABLE tracks_fts USING fts5 (
        title, artist, album, display, content='tracks', content_rowid='id',
        tokenize='unicode61 remove_diacritics 2', prefix='2 3'
    );

CREATE TRIGGER tracks_fts_insert AFTER INSERT ON tracks BEGIN
        INSERT INTO tracks_fts (rowid, title, artist, album, display)
        VALUES (new.id, new.title, new.artist, new.album, new.display);
    END;

CREATE TRIGGER tracks_fts_delete AFTER DELETE ON tracks BEGIN
        INSERT INTO tracks_fts (tracks_fts, rowid, title, artist, album, display)
        VALUES ('delete', old.id, old.title, old.artist, old.album, old.display);
    END;

CREATE TRIGGER tracks_fts_update AFTER UPDATE ON tracks
    WHEN old.title <> new.title OR old.artist <> new.artist OR old.album <> new.album
        OR old.display <> new.display
    BEGIN
        INSERT INTO tracks_fts (tracks_fts, rowid, title, artist, album, display)
        VALUES ('delete', old.id, old.title, old.artist, old.album, old.display);
        INSERT INTO tracks_fts (rowid, title, artist, album, display)
        VALUES (new.id, new.title, new.artist, new.album, new.display);
    END;

CREATE TABLE maps (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        model_id TEXT NOT NULL,
        made_ns INTEGER NOT NULL,
        n_tracks INTEGER NOT NULL,
        n_skipped INTEGER NOT NULL
    ) STRICT;

CREATE TABLE map_points (
        track_id INTEGER PRIMARY KEY REFERENCES tracks (id) ON DELETE CASCADE,
        x REAL NOT NULL,
        y REAL NOT NULL
    ) STRICT;

CREATE TABLE tallies (
        gone INTEGER NOT NULL,
        genre TEXT NOT NULL COLLATE NOCASE,
        status TEXT NOT NULL,
        year INTEGER NOT NULL,
        step INTEGER NOT NULL,
        tagged INTEGER NOT NULL,
        n INTEGER NOT NULL,
        ms INTEGER NOT NULL,
        PRIMARY KEY (gone, genre, status, year, step, tagged)
    ) STRICT, WITHOUT ROWID;

CREATE TRIGGER tallies_insert AFTER INSERT ON tracks BEGIN INSERT INTO tallies (gone, genre, status, year, step, tagged, n, ms) VALUES (new.missing_since_ns IS NOT NULL, coalesce(new.genre, '') COLLATE NOCASE, coalesce(new.status, ''), coalesce(new.year, -1000000000), coalesce(min(CAST(new.confidence * 20 AS INTEGER), 19), -1), new.file_genres <> '[]', 1, CAST(round(coalesce(new.duration_s, 0) * 1000) AS INTEGER)) ON CONFLICT DO UPDATE SET n = n + 1, ms = ms + excluded.ms; END;

CREATE TRIGGER tallies_delete AFTER DELETE ON tracks BEGIN UPDATE tallies SET n = n - 1, ms = ms - CAST(round(coalesce(old.duration_s, 0) * 1000) AS INTEGER) WHERE (gone, genre, status, year, step, tagged) = (old.missing_since_ns IS NOT NULL, coalesce(old.genre, '') COLLATE NOCASE, coalesce(old.status, ''), coalesce(old.year, -1000000000), coalesce(min(CAST(old.confidence * 20 AS INTEGER), 19), -1), old.file_genres <> '[]'); DELETE FROM tallies WHERE (gone, genre, status, year, step, tagged) = (old.missing_since_ns IS NOT NULL, coalesce(old.genre, '') COLLATE NOCASE, coalesce(old.status, ''), coalesce(old.year, -1000000000), coalesce(min(CAST(old.confidence * 20 AS INTEGER), 19), -1), old.file_genres <> '[]') AND n = 0; END;

CREATE TRIGGER tallies_update AFTER UPDATE OF genre, status, year, confidence, file_genres, duration_s, missing_since_ns ON tracks WHEN old.genre IS NOT new.genre OR old.status IS NOT new.status OR old.year IS NOT new.year OR old.confidence IS NOT new.confidence OR old.file_genres IS NOT new.file_genres OR old.duration_s IS NOT new.duration_s OR old.missing_since_ns IS NOT new.missing_since_ns BEGIN UPDATE tallies SET n = n - 1, ms = ms - CAST(round(coalesce(old.duration_s, 0) * 1000) AS INTEGER) WHERE (gone, genre, status, year, step, tagged) = (old.missing_since_ns IS NOT NULL, coalesce(old.genre, '') COLLATE NOCASE, coalesce(old.status, ''), coalesce(old.year, -1000000000), coalesce(min(CAST(old.confidence * 20 AS INTEGER), 19), -1), old.file_genres <> '[]'); DELETE FROM tallies WHERE (gone, genre, status, year, step, tagged) = (old.missing_since_ns IS NOT NULL, coalesce(old.genre, '') COLLATE NOCASE, coalesce(old.status, ''), coalesce(old.year, -1000000000), coalesce(min(CAST(old.confidence * 20 AS INTEGER), 19), -1), old.file_genres <> '[]') AND n = 0; INSERT INTO tallies (gone, genre, status, year, step, tagged, n, ms) VALUES (new.missing_since_ns IS NOT NULL, coalesce(new.genre, '') COLLATE NOCASE, coalesce(new.status, ''), coalesce(new.year, -1000000000), coalesce(min(CAST(new.confidence * 20 AS INTEGER), 19), -1), new.file_genres <> '[]', 1, CAST(round(coalesce(new.duration_s, 0) * 1000) AS INTEGER)) ON CONFLICT DO UPDATE SET n = n + 1, ms = ms + excluded.ms; END;

CREATE TABLE sketches (
        block INTEGER NOT NULL,
        model_id TEXT NOT NULL,
        n_bytes INTEGER NOT NULL,
        n INTEGER NOT NULL,
        ids BLOB NOT NULL CHECK (length(ids) % 8 = 0 AND length(ids) <= 8 * 512),
        centre BLOB NOT NULL CHECK (length(centre) = n_bytes / 4 * 4),
        measures BLOB NOT NULL CHECK (length(measures) = 12 * (length(ids) / 8)),
        steps BLOB NOT NULL CHECK (length(steps) = n_bytes / 4 * (length(ids) / 8)),
        PRIMARY KEY (block, model_id, n_bytes)
    ) STRICT;

CREATE TABLE unsketched (block INTEGER PRIMARY KEY) STRICT;

CREATE TRIGGER sketches_insert AFTER INSERT ON analyses BEGIN DELETE FROM sketches WHERE block = new.track_id / 512; INSERT INTO unsketched (block) VALUES (new.track_id / 512) ON CONFLICT DO NOTHING; END;

CREATE TRIGGER sketches_delete AFTER DELETE ON analyses BEGIN DELETE FROM sketches WHERE block = old.track_id / 512; INSERT INTO unsketched (block) VALUES (old.track_id / 512) ON CONFLICT DO NOTHING; END;

CREATE TRIGGER sketches_update AFTER UPDATE OF track_id, model_id, embedding ON analyses BEGIN DELETE FROM sketches WHERE block = old.track_id / 512; INSERT INTO unsketched (block) VALUES (old.track_id / 512) ON CONFLICT DO NOTHING; DELETE FROM sketches WHERE block = new.track_id / 512; INSERT INTO unsketched (block) VALUES (new.track_id / 512) ON CONFLICT DO NOTHING; END;

CREATE TRIGGER sketches_missing AFTER UPDATE OF missing_since_ns ON tracks WHEN (old.missing_since_ns IS NULL) <> (new.missing_since_ns IS NULL) BEGIN DELETE FROM sketches WHERE block = new.id / 512; INSERT INTO unsketched (block) VALUES (new.id / 512) ON CONFLICT DO NOTHING; END;

CREATE VIEW library AS SELECT
        tracks.id, display AS path, title, artist, album, year,
        (SELECT coalesce(group_concat(value, '; '), '') FROM json_each(file_genres)) AS in_file,
        genre AS heard, round(confidence, 4) AS confidence, round(tempo_bpm, 1) AS tempo_bpm,
        round(loudness_lufs, 1) AS loudness_lufs,
        (SELECT coalesce(group_concat(genre, '; '), '') FROM (SELECT genre FROM labels
            WHERE track_id = tracks.id AND source IN ('user', 'import') ORDER BY id)) AS said,
        status, reason, round(duration_s, 1) AS duration_s, model_id AS model,
        missing_since_ns IS NOT NULL AS missing
    FROM tracks;

CREATE VIEW changes AS SELECT
        edits.id, edits.run_id AS run, datetime(intended_ns / 1000000000, 'unixepoch') AS at,
        coalesce(tracks.display, CASE WHEN CAST(edits.path AS TEXT) GLOB '*[^ -~]*'
            THEN hex(edits.path) ELSE CAST(edits.path AS TEXT) END) AS path,
        (SELECT coalesce(group_concat(value, '; '), '') FROM json_each(edits.before, '$[0]')) AS before,
        (SELECT coalesce(group_concat(value, '; '), '') FROM json_each(edits.after, '$[0]')) AS after,
        edits.state
    FROM edits LEFT JOIN tracks ON tracks.id = edits.track_id;

CREATE VIEW history AS SELECT
        id AS run, kind, state, datetime(started_ns / 1000000000, 'unixepoch') AS started,
        round((ended_ns - started_ns) / 1e9, 1) AS seconds, exit_code, model_id AS model,
        round(tracks_per_s, 2) AS tracks_per_s, counts
    FROM runs;

PRAGMA application_id = 2053916498;
PRAGMA user_version = 4;
