"""Generated protobuf code; used by snnir.serde only."""
