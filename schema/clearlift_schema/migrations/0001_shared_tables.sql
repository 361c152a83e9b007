-- The tables of the API worker, for an empty database: a laptop, a test, a demo.
-- On a database that already has them, every statement here does nothing.
CREATE TABLE IF NOT EXISTS organizations (
  id TEXT PRIMARY KEY,
  name TEXT,
  created_at DATETIME DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE IF NOT EXISTS platform_connections (
  id TEXT PRIMARY KEY,                  -- {org_id}-{platform}-{account_id}
  organization_id TEXT NOT NULL,
  platform TEXT NOT NULL,               -- 'google' | 'facebook' | 'tiktok' | 'stripe' | others later
  account_id TEXT NOT NULL,
  account_name TEXT,
  connected_by TEXT NOT NULL,           -- user id
  connected_at DATETIME DEFAULT CURRENT_TIMESTAMP,
  last_synced_at DATETIME,              -- written by the queue consumer
  sync_status TEXT DEFAULT 'pending',   -- 'pending' | 'syncing' | 'completed' | 'failed'
  sync_error TEXT,
  is_active BOOLEAN DEFAULT TRUE,
  credentials_encrypted TEXT,           -- access token
  refresh_token_encrypted TEXT,
  expires_at DATETIME,                  -- of the access token
  scopes TEXT,                          -- JSON array
  FOREIGN KEY (organization_id) REFERENCES organizations(id),
  UNIQUE(organization_id, platform, account_id)
);

CREATE TABLE IF NOT EXISTS sync_jobs (
  id TEXT PRIMARY KEY,                  -- UUID
  organization_id TEXT NOT NULL,
  connection_id TEXT NOT NULL,
  status TEXT DEFAULT 'pending',        -- 'pending' | 'running' | 'completed' | 'failed'
  job_type TEXT DEFAULT 'full',         -- 'full' | 'incremental'
  started_at DATETIME,
  completed_at DATETIME,
  error_message TEXT,
  records_synced INTEGER DEFAULT 0,
  created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
  metadata TEXT DEFAULT '{}',           -- JSON
  FOREIGN KEY (organization_id) REFERENCES organizations(id),
  FOREIGN KEY (connection_id) REFERENCES platform_connections(id)
);

CREATE TABLE IF NOT EXISTS onboarding_progress (
  user_id TEXT PRIMARY KEY,
  organization_id TEXT NOT NULL,
  current_step TEXT NOT NULL,           -- 'welcome' | 'connect_services' | 'first_sync' | 'completed'
  steps_completed TEXT DEFAULT '[]',
  services_connected INTEGER DEFAULT 0,
  first_sync_completed BOOLEAN DEFAULT FALSE,
  created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
  updated_at DATETIME DEFAULT CURRENT_TIMESTAMP,
  completed_at DATETIME
);

CREATE TABLE IF NOT EXISTS connector_configs (
  provider TEXT,
  name TEXT,
  auth_type TEXT,                       -- 'oauth2' | 'api_key'
  oauth_authorize_url TEXT,
  oauth_token_url TEXT,                 -- never called by this worker: anybody may have put it there
  oauth_scopes TEXT
);
