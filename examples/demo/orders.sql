-- Where the orders go. The window lets ClickHouse recognise an insert that is sent again; the last three columns say
-- where each row came from, so that recovery can look what landed.
CREATE TABLE orders
(
    id         UInt64,
    ordered_at DateTime64(3, 'UTC'),
    customer   UInt32,
    status     LowCardinality(String),
    product    String,
    note       Nullable(String),
    quantity   UInt32,
    price      Float64,
    country    FixedString(2),
    tags       Array(String),
    attributes Map(String, String),
    _topic     LowCardinality(String),
    _partition Int32,
    _offset    Int64
)
ENGINE = MergeTree
ORDER BY (customer, ordered_at)
SETTINGS non_replicated_deduplication_window = 30000
