#[test] fn seal() {
  let record = flyte_auth::store::Record::from_json(include_bytes!("../seeds/store_record/flyte2"), "x").unwrap();
  let bytes = flyte_auth::testing::parsers::seal(&[7;32], &flyte_auth::store::SessionKey::of_parts([Some("fuzz")]), &record).unwrap();
  std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"),"/seeds/store_envelope/sealed"), bytes).unwrap();
  let mut older = record.clone(); older.generation = 9;
  let bytes = flyte_auth::testing::parsers::seal(&[7;32], &flyte_auth::store::SessionKey::of_parts([Some("other")]), &record).unwrap();
  std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"),"/seeds/store_envelope/sealed-for-another-session"), bytes).unwrap();
  let bytes = flyte_auth::testing::parsers::seal(&[8;32], &flyte_auth::store::SessionKey::of_parts([Some("fuzz")]), &record).unwrap();
  std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"),"/seeds/store_envelope/sealed-with-another-key"), bytes).unwrap();
}
