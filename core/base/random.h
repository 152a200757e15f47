/* Random numbers beside those of cnn.h: blocks of Philox for kernels that need the number at a position. */
#ifndef CNN_BASE_RANDOM_H
#define CNN_BASE_RANDOM_H

#include "cnn.h"

/* The four 32-bit words of Philox4x32-10 (Salmon et al. 2011) for this key and 128-bit counter (high, low). */
void cnn_philox(uint64_t key, uint64_t counter_high, uint64_t counter_low, uint32_t out[4]);

/* 64 bits from the stream, advancing it. */
uint64_t cnn_random_bits(cnn_random *random);

/* Makes random the default generator of this thread; NULL: the program's again. Returns what it was before. */
cnn_random *cnn_use_random(cnn_random *random);
/* Whether this thread has one of its own. */
bool cnn_random_is_own(void);

#endif
