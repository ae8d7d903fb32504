//! What a Flogo app says, as events of the contract.
