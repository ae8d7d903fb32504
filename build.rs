//! Compiles the contract under `proto/` to Rust types, without an installed protoc.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorSet, field_descriptor_proto::Type};

/// Events that come in one record.
const SEVERAL: &str = ".flowtrail.history.v1.Several";

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

/// The same messages with `bytes` where they have `string`, and for several events in one: these are one and the same on the
/// wire. A field of bytes is a slice of the message where one of text is a copy of its own; and a record of millions of events
/// that say nothing is refused without a place in memory for each.
fn with_text_as_bytes(mut descriptors: FileDescriptorSet) -> FileDescriptorSet {
    fn change(message: &mut DescriptorProto) {
        for field in &mut message.field {
            if field.type_name() == SEVERAL {
                field.type_name = None;
                field.set_type(Type::Bytes);
            } else if field.r#type() == Type::String {
                field.set_type(Type::Bytes);
            }
        }
        message.nested_type.iter_mut().for_each(change);
    }
    for file in &mut descriptors.file {
        file.message_type.retain(|message| !SEVERAL.ends_with(message.name()));
        // Comments are found by the numbers of messages, which are others now.
        file.source_code_info = None;
        file.message_type.iter_mut().for_each(change);
    }
    descriptors
}
