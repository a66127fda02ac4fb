"""What the sinks of Spark, Ray and Dask share: options, a producer per process, one task's write and its report."""
