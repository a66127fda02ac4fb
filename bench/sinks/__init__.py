"""What a record costs on its way through an engine: the sinks of Spark, Ray and Dask beside the engines' own."""
