//! Sources of events for a topic.
