//! What the pipeline does to a message.
