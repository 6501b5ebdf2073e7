//! The files that the commands read.

/// The path and the text of each file.
pub const FILES: &[(&str, &str)] = &[
    ("order/README", "no schema\n"),
    ("order/v1.proto", ORDER),
    (
        "order/v2.proto",
        "syntax = \"proto3\";\npackage shop;\n\n// An order was placed.\nmessage OrderPlaced {\n  string id = 1;\n  \
         string total = 2;\n  int64 placed_at = 4;\n}\n",
    ),
    (
        "order/comments.proto",
        "syntax = \"proto3\";\npackage shop;\n\nmessage OrderPlaced {\n  // Other words.\n  string note = 3;\n  \
         int32 total = 2;\n  string id = 1;\n}\n",
    ),
    (
        "order/added.proto",
        "syntax = \"proto3\";\npackage shop;\n\nmessage OrderPlaced {\n  string id = 1;\n  int32 total = 2;\n  \
         string note = 3;\n  int64 placed_at = 4;\n}\n",
    ),
    (
        "order/renamed.proto",
        "syntax = \"proto3\";\npackage shop;\n\nmessage OrderPlaced {\n  string id = 1;\n  int32 sum = 2;\n  \
         string note = 3;\n}\n",
    ),
    (
        "order/several.proto",
        "syntax = \"proto3\";\npackage shop;\nmessage Kept { string id = 1; }\nmessage Changed { string id = 1; }\n",
    ),
    (
        "order/several_less.proto",
        "syntax = \"proto3\";\npackage shop;\nmessage Kept { string id = 1; }\nmessage Changed { int32 id = 1; }\n",
    ),
    (
        "order/v1.json",
        "{\n  \"type\": \"object\",\n  \"properties\": {\n    \"id\": {\"type\": \"string\"},\n    \
         \"total\": {\"type\": \"integer\"}\n  },\n  \"required\": [\"id\"]\n}\n",
    ),
    (
        "order/v2.json",
        "{\n  \"type\": \"object\",\n  \"properties\": {\n    \"id\": {\"type\": \"string\"},\n    \
         \"total\": {\"type\": \"string\"}\n  },\n  \"required\": [\"id\", \"total\"]\n}\n",
    ),
    (
        "order/optional.json",
        "{\n  \"type\": \"object\",\n  \"properties\": {\n    \"id\": {\"type\": \"string\"},\n    \
         \"total\": {\"type\": \"integer\"},\n    \"note\": {\"type\": \"string\"}\n  },\n  \"required\": [\"id\"]\n}\n",
    ),
    (
        "order/long.json",
        "{\n  \"type\": \"object\",\n  \"properties\": {\n    \"id\": {\"type\": \"string\"},\n    \
         \"note\": {\"type\": \"string\", \"maxLength\": 2000}\n  },\n  \"required\": [\"id\"]\n}\n",
    ),
    (
        "order/shorter.json",
        "{\n  \"type\": \"object\",\n  \"properties\": {\n    \"id\": {\"type\": \"string\"},\n    \
         \"note\": {\"type\": \"string\", \"maxLength\": 500}\n  },\n  \"required\": [\"id\"]\n}\n",
    ),
    (
        "order/v1.avsc",
        "{\"type\": \"record\", \"name\": \"shop.OrderPlaced\", \"fields\": [\n  {\"name\": \"id\", \"type\": \"string\"},\n  \
         {\"name\": \"total\", \"type\": \"int\"}\n]}\n",
    ),
    (
        "order/v2.avsc",
        "{\"type\": \"record\", \"name\": \"shop.OrderPlaced\", \"fields\": [\n  {\"name\": \"id\", \"type\": \"string\"},\n  \
         {\"name\": \"total\", \"type\": \"int\"},\n  {\"name\": \"note\", \"type\": \"string\"}\n]}\n",
    ),
    (
        "order/promoted.avsc",
        "{\"type\": \"record\", \"name\": \"shop.OrderPlaced\", \"fields\": [\n  {\"name\": \"id\", \"type\": \"string\"},\n  \
         {\"name\": \"total\", \"type\": \"long\"}\n]}\n",
    ),
    (
        "shop/v1/order.proto",
        "syntax = \"proto3\";\npackage shop;\nimport \"money.proto\";\nmessage Order { Money total = 1; }\n",
    ),
    (
        "shop/v1/money.proto",
        "syntax = \"proto3\";\npackage shop;\nmessage Money {\n  int64 cents = 1;\n}\n",
    ),
    (
        "shop/v2/order.proto",
        "syntax = \"proto3\";\npackage shop;\nimport \"money.proto\";\nmessage Order { Money total = 1; }\n",
    ),
    (
        "shop/v2/money.proto",
        "syntax = \"proto3\";\npackage shop;\n\nmessage Money {\n  string cents = 1;\n}\n",
    ),
    (
        "deep/a/b/one.proto",
        "syntax = \"proto3\";\nimport \"a/common.proto\";\nmessage One { Common common = 1; }\n",
    ),
    (
        "deep/a/b/two.proto",
        "syntax = \"proto3\";\nimport \"a/common.proto\";\nmessage One { Common common = 1; string more = 2; }\n",
    ),
    ("deep/a/common.proto", "syntax = \"proto3\";\nmessage Common { string id = 1; }\n"),
    (
        "bad/unknown_type.proto",
        "syntax = \"proto3\";\nmessage Order {\n\tstring id = 1;\n\tsting note = 2;\n}\n",
    ),
    ("bad/syntax.proto", "syntax = \"proto3\";\nmessage Order {\n  string id = ;\n}\n"),
    (
        "bad/climbs.proto",
        "syntax = \"proto3\";\nimport \"../../etc/passwd\";\nmessage Order { string id = 1; }\n",
    ),
    (
        "bad/imports_bad.proto",
        "syntax = \"proto3\";\nimport \"unknown_type.proto\";\nmessage Outer { Order order = 1; }\n",
    ),
    ("bad/syntax.json", "{\n  \"type\": \"object\",\n  \"properties\": {\n}\n"),
    (
        "bad/keyword.json",
        "{\n  \"type\": \"object\",\n  \"properties\": {\"id\": {\"type\": \"sting\"}}\n}\n",
    ),
    ("bad/remote.json", "{\n  \"$ref\": \"https://schemas.example/order.json\"\n}\n"),
    (
        "bad/default.avsc",
        "{\"type\": \"record\", \"name\": \"A\", \"fields\": [\n  {\"name\": \"n\", \"type\": \"int\", \"default\": \"one\"}\n]}\n",
    ),
    (
        "live/tidings.yaml",
        "schemas:\n  - {subject: shop.OrderPlaced, file: order.proto, owner: checkout}\n  - subject: shop.Cart\n    \
         file: cart.json\n    references: [{name: money.json, subject: shop.Money}]\n  - {subject: shop.Money, file: money.json}\n",
    ),
    (
        "live/order.proto",
        "syntax = \"proto3\";\npackage shop;\n\nmessage OrderPlaced {\n  string id = 1;\n  int32 total = 2;\n  \
         string note = 3;\n  int64 placed_at = 4;\n}\n",
    ),
    (
        "live/cart.json",
        "{\"type\": \"object\", \"properties\": {\"sum\": {\"$ref\": \"money.json\"}}}\n",
    ),
    (
        "live/money.json",
        "{\"type\": \"object\", \"properties\": {\"cents\": {\"type\": \"integer\"}}}\n",
    ),
    (
        "verify/v1.json",
        "{\n  \"type\": \"object\",\n  \"properties\": {\"total\": {\"type\": \"integer\"}}\n}\n",
    ),
    (
        "verify/v2.json",
        "{\n  \"type\": \"object\",\n  \"properties\": {\n    \"total\": {\"type\": \"string\"}\n  }\n}\n",
    ),
    ("verify/bad.json", "{\n  \"type\": \"objekt\"\n}\n"),
    ("verify/refers.json", "{\n  \"properties\": {\"total\": {\"$ref\": \"money.json\"}}\n}\n"),
    (
        "verify/tidings.yaml",
        "schemas:\n  - {subject: shop.Paid, file: v1.json, version: 1.0.0}\n  - {subject: shop.Paid, file: v2.json, version: 1.0.1}\n  \
         - {subject: shop.Invalid, file: bad.json}\n  - {subject: shop.Free, file: v1.json, version: 1.0.0, compatibility: none}\n  \
         - {subject: shop.Free, file: v2.json, version: 1.1.0}\n  - subject: shop.Cart\n    file: refers.json\n    \
         references: [{name: money.json, subject: shop.Paid, version: ^1}]\n",
    ),
    (
        "verify/good.yaml",
        "schemas:\n  - {subject: shop.Paid, file: v1.json, version: 1.0.0}\n  - {subject: shop.Paid, file: v2.json, version: 2.0.0}\n",
    ),
    (
        "verify/refers.yaml",
        "schemas:\n  - subject: shop.Cart\n    file: refers.json\n    references: [{name: money.json, subject: shop.Money, version: 1.2.0}]\n",
    ),
    ("manifests/order.proto", ORDER),
    ("manifests/money.json", "{\"type\": \"object\"}\n"),
    (
        "manifests/good.yaml",
        "# Everything that can be said.\nimport-paths: [.]\nschemas:\n  - subject: shop.OrderPlaced\n    file: order.proto\n    \
         message: shop.OrderPlaced\n    compatibility: full-transitive\n    surface: wire-json\n    owner: checkout\n    \
         description: An order was placed\n    labels: {team: checkout, tier: 1}\n  - subject: shop.Money\n    \
         file: ./money.json\n    format: json\n    content-model: strict\n    compatibility: BACKWARD\n  - subject: shop.OrderPaid\n    \
         file: order.proto\n    version: 2.0.0\n    references:\n      - {name: money.json, subject: shop.Money}\n",
    ),
    (
        "manifests/refused.yaml",
        "schemas:\n  - subject: shop.Refused\n    file: order.proto\n  - {subject: shop.Money, file: money.json}\n",
    ),
    (
        "manifests/keys.yaml",
        "schema: []\nschemas:\n  - subjet: shop.A\n    file: order.proto\n    contentModel: strict\n    colour: red\n    \
         references: [{nme: x, subject: y}, {name: x}]\n",
    ),
    (
        "manifests/values.yaml",
        "schemas:\n  - subject: [shop.A]\n    file: order.proto\n    compatibility: total\n    format: thrift\n    \
         labels: [a]\n    references: x\n  - shop.B\n  - file: order.proto\n  - subject: ~\n    file: order.proto\n",
    ),
    (
        "manifests/paths.yaml",
        "import-paths: [/etc]\nschemas:\n  - subject: shop.A\n    file: ../order/v1.proto\n  - subject: shop.B\n    \
         file: /etc/passwd\n  - subject: shop.C\n    file: order.proto\n    with: [../../x.proto]\n",
    ),
    (
        "manifests/files.yaml",
        "schemas:\n  - subject: shop.A\n    file: nothing.proto\n  - subject: shop.B\n    file: good.yaml\n",
    ),
    (
        "manifests/twice.yaml",
        "schemas:\n  - {subject: shop.A, file: order.proto}\n  - {subject: shop.A, file: order.proto, version: 1.1.0}\n",
    ),
    (
        "manifests/names.yaml",
        "schemas:\n  - {subject: \"a b\", file: order.proto}\n  - {subject: shop.B, file: order.proto, version: 1.x}\n",
    ),
    ("live/bad.proto", "syntax = \"proto3\";\nmessage Bad {\n  sting id = 1;\n}\n"),
    (
        "live/bad.yaml",
        "schemas:\n  - {subject: shop.Money, file: money.json}\n  - {subject: shop.Bad, file: bad.proto}\n",
    ),
    ("manifests/no_list.yaml", "schemas: {subject: shop.A}\n"),
    ("manifests/not_yaml.yaml", "schemas:\n\t- subject: shop.A\n"),
    ("manifests/alias.yaml", "schemas:\n  - &a {subject: shop.A, file: order.proto}\n  - *a\n"),
    ("manifests/empty.yaml", ""),
    (
        "manifests/behind.yaml",
        "schemas:\n  - {subject: shop.Behind, file: order.proto, version: 2.0.0}\n  - {subject: shop.Money, file: money.json}\n",
    ),
    ("accept/good.yaml", "accept:\n  shop.OrderPlaced: 1\n  shop.Money: '>=1, <3'\n"),
    (
        "accept/bad.yaml",
        "accept:\n  shop.OrderPlaced: one\n  shop.*: ^1\n  shop.Money: [^1]\nconsumer: billing\n",
    ),
];

/// The first version of the order schema.
pub const ORDER: &str = "syntax = \"proto3\";\npackage shop;\n\n// An order was placed.\nmessage OrderPlaced {\n  string id = 1;\n  \
                     int32 total = 2;\n  string note = 3;\n}\n";
