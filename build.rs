//! Compiles the contract under `proto/` to Rust types, without an installed protoc.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let descriptors = protox::compile(["flowtrail/history/v1/history.proto"], ["proto"])?;
    let encoded = descriptors.encode_to_vec();
    // The contract test compares this one with the last released descriptor.
    fs::write(out.join("contract.binpb"), &encoded)?;

    prost_build::Config::new()
        // Payloads are slices of the Kafka message, not copies of it.
        .bytes(["."])
        .compile_well_known_types()
        .extern_path(".google.protobuf", "::pbjson_types")
        .compile_fds(descriptors)?;
    pbjson_build::Builder::new()
        .register_descriptors(&encoded)?
        .ignore_unknown_fields()
        .extern_path(".google.protobuf", "::pbjson_types")
        .build(&[".flowtrail.history"])?;
    Ok(())
}
