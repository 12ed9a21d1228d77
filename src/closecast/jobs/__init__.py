"""Jobs: records in the ledger, run by one worker process that a supervisor keeps alive."""
