"""The job queue: ARQ, its connections to Redis, and the dispatcher that enqueues jobs."""
