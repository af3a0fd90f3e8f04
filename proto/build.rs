//! Compiles every `.proto` file of `proto/` with protox (no external protoc) into one module a package.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let mut files: Vec<_> = std::fs::read_dir("proto")?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|ext| ext == "proto"))
        .collect();
    files.sort();
    let set = protox::compile(&files, ["proto"])?;
    prost_build::Config::new().compile_fds(set)?;
    Ok(())
}
