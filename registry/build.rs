//! Compiles the registry's part of `proto/` with protox, so that nobody needs `protoc`.

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
    tonic_prost_build::configure().bytes(".").btree_map(".").compile_fds(files)?;
    Ok(())
}
