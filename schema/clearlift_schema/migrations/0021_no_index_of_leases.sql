-- What a dead worker left behind is found among those that rest: connection_state_resting.
DROP INDEX IF EXISTS connection_state_refreshing;
