//! Options of RocksDB. Their purpose is reliability: a flipped bit must be detected, and an
//! acknowledged write must survive. Each setting that is not obvious has its reason.

use std::sync::Arc;

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType,
    DBRecoveryMode, LogLevel, Options,
};

use super::{Family, trim};

/// Settings that a user can change.
#[derive(Debug, Clone, Copy)]
pub struct Tuning {
    /// Block cache for reads, in bytes.
    pub block_cache_bytes: usize,
    /// Size at which a memtable is flushed, in bytes.
    pub write_buffer_bytes: usize,
    /// Size of the write-ahead log above which memtables are flushed, in bytes. It bounds the time
    /// of a start.
    pub wal_bytes: usize,
}

/// Options of the database.
pub fn database(tuning: &Tuning, recovery: DBRecoveryMode) -> Options {
    let mut options = Options::default();
    options.set_wal_recovery_mode(recovery);
    options.set_paranoid_checks(true);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_recycle_log_file_num(0);
    // The families are flushed together: a flush of some of them would leave rows without their
    // index.
    options.set_atomic_flush(true);
    options.set_use_fsync(false);
    options.set_max_total_wal_size(tuning.wal_bytes as u64);
    // Most file descriptors are left for connections.
    options.set_max_open_files(512);
    options.set_max_background_jobs(4);
    options.set_bytes_per_sync(1 << 20);
    options.set_keep_log_file_num(4);
    options.set_max_log_file_size(8 << 20);
    options.set_log_level(LogLevel::Warn);
    options.set_stats_dump_period_sec(0);
    options
}

/// All families with their options.
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
            // Its index, 60 KiB per file, stays with the open file, because scans bypass the cache.
            table.set_block_size(32 << 10);
            options.set_write_buffer_size(tuning.write_buffer_bytes);
            options.set_target_file_size_base(64 << 20);
            options.set_max_bytes_for_level_base(512 << 20);
        }
        Family::Ids | Family::Keys | Family::Correlation => {
            table.set_block_size(4 << 10);
            table.set_bloom_filter(10.0, false);
            // Filters are partitioned into blocks of 4 KiB. A whole filter has a megabyte for
            // 800,000 rows, and two of them evict each other from a shard of the cache. Every
            // lookup then read one from the file, which took half of the writer's time.
            table.set_partition_filters(true);
            table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
            table.set_metadata_block_size(4 << 10);
            table.set_cache_index_and_filter_blocks(true);
            table.set_pin_l0_filter_and_index_blocks_in_cache(true);
            table.set_pin_top_level_index_and_filter(true);
            // The id and key of a new event are looked up and not found: a Bloom filter answers
            // that without a search.
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
