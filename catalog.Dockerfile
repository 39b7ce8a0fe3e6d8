# The image of the OLM catalogue, as `make release` makes it: the files of catalog/lbstack, and no program. OLM
# serves them with spec.grpcPodConfig.extractContent of the CatalogSource.
FROM scratch
LABEL operators.operatorframework.io.index.configs.v1=/configs
COPY catalog/lbstack /configs/lbstack
