//! Compiles the contract under `proto/` to Rust types, without an installed protoc.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorSet, field_descriptor_proto::Type};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let descriptors = protox::compile(["flowtrail/history/v1/history.proto"], ["proto"])?;
    let encoded = descriptors.encode_to_vec();
    // The contract test compares this one with the last released descriptor.
    fs::write(out.join("contract.binpb"), &encoded)?;

    let mut config = prost_build::Config::new();
    config
        // Payloads are slices of the Kafka message, not copies of it.
        .bytes(["."])
        .compile_well_known_types()
        .extern_path(".google.protobuf", "::pbjson_types");
    config.compile_fds(descriptors.clone())?;
    let sliced = out.join("sliced");
    fs::create_dir_all(&sliced)?;
    config.out_dir(sliced).compile_fds(with_text_as_bytes(descriptors))?;
    pbjson_build::Builder::new()
        .register_descriptors(&encoded)?
        .ignore_unknown_fields()
        .extern_path(".google.protobuf", "::pbjson_types")
        .build(&[".flowtrail.history"])?;
    Ok(())
}

/// The same messages with `bytes` where they have `string`: the two are one and the same on the wire, and a field of
/// bytes is a slice of the message where one of text is a copy of its own.
fn with_text_as_bytes(mut descriptors: FileDescriptorSet) -> FileDescriptorSet {
    fn change(message: &mut DescriptorProto) {
        for field in message.field.iter_mut().filter(|field| field.r#type() == Type::String) {
            field.set_type(Type::Bytes);
        }
        message.nested_type.iter_mut().for_each(change);
    }
    descriptors.file.iter_mut().flat_map(|file| &mut file.message_type).for_each(change);
    descriptors
}
