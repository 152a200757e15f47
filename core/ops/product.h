/* Matrix products on several threads.
 *
 * Each is cut into parts by its sizes alone. No sum is cut: however many parts there are, all bits are those of the
 * whole. Small products, and those within a lane, are done by their caller alone. */
#ifndef CNN_OPS_PRODUCT_H
#define CNN_OPS_PRODUCT_H

#include "kernels/kernels.h"

enum { CNN_MAX_PRODUCTS = 2 };

/* The scratch that a product as large as this one, or smaller, needs. */
size_t cnn_products_scratch(const cnn_product *p);
/* Up to CNN_MAX_PRODUCTS of them side by side; their scratch is the sum of theirs. */
void cnn_products(const cnn_product *p, int count, void *scratch);

#endif
