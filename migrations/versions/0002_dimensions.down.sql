DROP TABLE vault.subscriber;
DROP TABLE silver.dim_time;
DROP TABLE silver.dim_service_plan;
DROP TABLE silver.dim_network_cell;
DROP TABLE silver.dim_region;
