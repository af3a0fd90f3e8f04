//! Compiles every `.proto` file of `proto/` with protox (no external protoc) into one Rust module.
//!
//! Debug output of messages shows their names only, because most of them carry keys or content: prost's derive is
//! switched off and `debug.rs` is written from the descriptors instead.

use std::{env, error::Error, fmt::Write as _, fs, path::PathBuf};

use heck::{ToSnakeCase as _, ToUpperCamelCase as _};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

/// Unions by convention: dozens of message fields of which few are set. Their message fields are boxed, so that the
/// structs stay small.
const WIDE: [&str; 7] = [
    ".palomar.Message",
    ".palomar.Message.ProtocolMessage",
    ".palomar.MessageContextInfo",
    ".palomar.ContextInfo",
    ".palomar.WebMessageInfo",
    ".palomar.SyncActionValue",
    ".palomar.BotMetadata",
];

/// Fields that may be hundreds of kilobytes: kept as slices of the source.
const LARGE: [&str; 1] = [".palomar.Message.HistorySyncNotification.initial_hist_bootstrap_inline_payload"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let mut files: Vec<_> = fs::read_dir("proto")?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|ext| ext == "proto"))
        .collect();
    files.sort();
    let set = protox::compile(&files, ["proto"])?;

    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut debug = String::new();
    let mut config = prost_build::Config::new();
    config.btree_map(["."]).skip_debug(["."]).bytes(LARGE);
    for message in messages(&set) {
        if WIDE.contains(&message.path.as_str()) {
            for field in singular_messages(message.descriptor) {
                config.boxed(format!("{}.{field}", message.path));
            }
        }
        write_debug(&mut debug, &message)?;
    }
    for descriptor in set.file.iter().flat_map(|file| &file.enum_type) {
        write_enum_debug(&mut debug, "", descriptor)?;
    }
    fs::write(out.join("debug.rs"), debug)?;
    fs::write(out.join("registry.rs"), registry(&messages(&set)))?;
    fs::write(out.join("descriptors.bin"), prost::Message::encode_to_vec(&set))?;
    config.compile_fds(set)?;
    Ok(())
}

/// A message with its place in the schema and in Rust.
struct Message<'a> {
    /// Full name with the leading dot and the package.
    path: String,
    /// Rust path of the type.
    rust: String,
    /// Rust path of the module that holds what is nested in it, with `::` at the end.
    module: String,
    descriptor: &'a DescriptorProto,
}

/// Every message, nested ones too, without the entry types of maps.
fn messages(set: &FileDescriptorSet) -> Vec<Message<'_>> {
    fn walk<'a>(scope: &str, module: &str, descriptor: &'a DescriptorProto, found: &mut Vec<Message<'a>>) {
        if descriptor.options.as_ref().is_some_and(|options| options.map_entry()) {
            return;
        }
        let path = format!("{scope}.{}", descriptor.name());
        let rust = format!("{module}{}", descriptor.name().to_upper_camel_case());
        let inner = format!("{module}{}::", descriptor.name().to_snake_case());
        for nested in &descriptor.nested_type {
            walk(&path, &inner, nested, found);
        }
        found.push(Message { path, rust, module: inner, descriptor });
    }
    let mut found = Vec::new();
    for file in &set.file {
        let scope = format!(".{}", file.package());
        for message in &file.message_type {
            walk(&scope, "", message, &mut found);
        }
    }
    found
}

/// For tests: an array of `(full name, typed::<Type>())`, in the namespace of whoever includes it.
fn registry(messages: &[Message<'_>]) -> String {
    let entries = messages.iter().map(|message| {
        let name = message.path.trim_start_matches(".palomar.");
        format!("({name:?}, typed::<palomar_proto::{}>()),\n", message.rust)
    });
    format!("[\n{}]", entries.collect::<String>())
}

fn singular_messages(message: &DescriptorProto) -> impl Iterator<Item = &str> {
    let singular = |field: &&prost_types::FieldDescriptorProto| {
        field.r#type() == Type::Message && field.label() != Label::Repeated && field.oneof_index.is_none()
    };
    message.field.iter().filter(singular).map(|field| field.name())
}

fn write_debug(out: &mut String, message: &Message<'_>) -> Result<(), Box<dyn Error>> {
    let mut name_only = |rust: &str, name: &str| {
        writeln!(
            out,
            "impl ::core::fmt::Debug for {rust} {{ \
             fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {{ f.write_str({name:?}) }} }}"
        )
    };
    let name = message.path.trim_start_matches(".palomar.");
    name_only(&message.rust, name)?;
    for oneof in &message.descriptor.oneof_decl {
        let mut rust = oneof.name().to_upper_camel_case();
        let nested = &message.descriptor.nested_type;
        if nested.iter().any(|nested| nested.name().to_upper_camel_case() == rust) {
            rust.push_str("OneOf"); // as prost-build does
        }
        name_only(&format!("{}{rust}", message.module), &format!("{name}.{}", oneof.name()))?;
    }
    for nested in &message.descriptor.enum_type {
        write_enum_debug(out, &message.module, nested)?;
    }
    Ok(())
}

/// Enums hold no secret: they show the name of their value.
fn write_enum_debug(
    out: &mut String,
    module: &str,
    descriptor: &EnumDescriptorProto,
) -> Result<(), Box<dyn Error>> {
    writeln!(
        out,
        "impl ::core::fmt::Debug for {module}{} {{ \
         fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {{ \
         f.write_str(self.as_str_name()) }} }}",
        descriptor.name().to_upper_camel_case()
    )?;
    Ok(())
}
