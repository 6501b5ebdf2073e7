//! How RocksDB is opened. What each setting protects is said beside it; the measurements are in RELIABILITY terms:
//! a flipped bit must be noticed, an acknowledged write must survive.

use std::sync::Arc;

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType,
    DBRecoveryMode, LogLevel, Options,
};

use super::{Family, trim};

/// What a user can set.
#[derive(Debug, Clone, Copy)]
pub struct Tuning {
    /// Cache of blocks for reads, in bytes.
    pub block_cache_bytes: usize,
    /// Size at which a memtable is written out, in bytes.
    pub write_buffer_bytes: usize,
    /// Size of the write-ahead log above which memtables are written out, in bytes. It bounds the time of a start.
    pub wal_bytes: usize,
}

/// Options of the database.
pub fn database(tuning: &Tuning, recovery: DBRecoveryMode) -> Options {
    let mut options = Options::default();
    options.set_wal_recovery_mode(recovery);
    options.set_paranoid_checks(true);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_recycle_log_file_num(0);
    // All families are one: a flush that took some of them would leave rows without their index.
    options.set_atomic_flush(true);
    options.set_use_fsync(false);
    options.set_max_total_wal_size(tuning.wal_bytes as u64);
    // Descriptors are for connections.
    options.set_max_open_files(512);
    options.set_max_background_jobs(4);
    options.set_bytes_per_sync(1 << 20);
    options.set_keep_log_file_num(4);
    options.set_max_log_file_size(8 << 20);
    options.set_log_level(LogLevel::Warn);
    options.set_stats_dump_period_sec(0);
    options
}

/// Every family with its options.
pub fn families(tuning: &Tuning, trims: &Arc<trim::TrimPoints>) -> Vec<ColumnFamilyDescriptor> {
    let cache = Cache::new_lru_cache(tuning.block_cache_bytes);
    Family::ALL
        .into_iter()
        .map(|family| {
            ColumnFamilyDescriptor::new(family.name(), options(family, tuning, &cache, trims))
        })
        .collect()
}

fn options(
    family: Family,
    tuning: &Tuning,
    cache: &Cache,
    trims: &Arc<trim::TrimPoints>,
) -> Options {
    let mut options = Options::default();
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_format_version(6);
    options.set_compression_type(DBCompressionType::Lz4);
    match family {
        Family::Log => {
            // Its index, 60 KiB a file, stays with the open file: a scan passes the cache by.
            table.set_block_size(32 << 10);
            options.set_write_buffer_size(tuning.write_buffer_bytes);
            options.set_target_file_size_base(64 << 20);
            options.set_max_bytes_for_level_base(512 << 20);
        }
        Family::Ids | Family::Keys | Family::Correlation => {
            table.set_block_size(4 << 10);
            table.set_bloom_filter(10.0, false);
            // In pieces of 4 KiB: a whole filter has a megabyte for 800,000 rows, and two of them push each other out of
            // a shard of the cache. Then every lookup read one from the file: half of the writer's time.
            table.set_partition_filters(true);
            table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
            table.set_metadata_block_size(4 << 10);
            table.set_cache_index_and_filter_blocks(true);
            table.set_pin_l0_filter_and_index_blocks_in_cache(true);
            table.set_pin_top_level_index_and_filter(true);
            // A new event's id and key are looked up and not found: answered by bits instead of a search.
            options.set_memtable_prefix_bloom_ratio(0.1);
            options.set_memtable_whole_key_filtering(true);
            options.set_write_buffer_size(tuning.write_buffer_bytes / 2);
        }
        Family::Meta => {
            table.set_block_size(4 << 10);
            options.set_write_buffer_size(4 << 20);
        }
    }
    options.set_block_based_table_factory(&table);
    trim::install(family, &mut options, trims);
    options
}
