/* How many products of 16-bit pairs, each with its addition, a core does where nothing is read or written: the limit of
restore/nets/winograd.c. Built and timed by benchmarks/backends.py. */

#define STEP(k)                                     \
    "vpmaddwd %%ymm14, %%ymm15, %%ymm13\n"          \
    "vpaddd %%ymm13, %%ymm" #k ", %%ymm" #k "\n"

/* Twelve of them, `rounds` times: as many sums as the kernel keeps. */
__attribute__((visibility("default"))) void products(long rounds) {
    for (long i = 0; i < rounds; i++)
        __asm__ volatile(STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7) STEP(8) STEP(9) STEP(10)
                             STEP(11)
                         :
                         :
                         : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
                           "xmm11", "xmm13");
}
