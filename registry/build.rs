//! Compiles the registry's part of `proto/` with protox, so that `protoc` is not needed.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=../proto/tidings/registry");
    let files = protox::compile(
        [
            "tidings/registry/v1/schema_registry_service.proto",
            "tidings/registry/v1/error_reason.proto",
        ],
        ["../proto"],
    )?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), files.encode_to_vec())?;

    // Messages and clients, as other users of the contract generate them.
    let (messages, servers) = (out.join("messages"), out.join("servers"));
    fs::create_dir_all(&messages)?;
    fs::create_dir_all(&servers)?;
    let mut named = tonic_prost_build::Config::new();
    named.enable_type_names();
    tonic_prost_build::configure()
        .bytes(".")
        .btree_map(".")
        .build_server(false)
        .out_dir(&messages)
        .compile_fds_with_config(files.clone(), named)?;

    // Servers, over the same messages.
    tonic_prost_build::configure()
        .build_client(false)
        .codec_path("crate::proto::RequestCodec")
        .extern_path(".tidings.registry.v1", "crate::proto::v1")
        .out_dir(&servers)
        .compile_fds(files)?;
    Ok(())
}
