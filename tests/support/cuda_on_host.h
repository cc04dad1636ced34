// As much of CUDA as `kernels.cu` uses, for a host compiler: threads run one after the other.
#pragma once

#include <cmath>
#include <cstring>
#include <tuple>
#include <utility>

#define __global__
#define __device__

struct Index3 {
    unsigned x, y, z;
};

static thread_local Index3 blockIdx, blockDim, threadIdx;

// Out of line, so that no compiler option can fuse two of them into one rounding.
__attribute__((noinline)) static float __fmul_rn(float a, float b) { return a * b; }
__attribute__((noinline)) static float __fadd_rn(float a, float b) { return a + b; }
__attribute__((noinline)) static float __fsub_rn(float a, float b) { return a - b; }
__attribute__((noinline)) static float __fdiv_rn(float a, float b) { return a / b; }

static float __int_as_float(int bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// Arguments come as the driver's launch call takes them: an array of pointers to each.
template <typename... Arguments, std::size_t... I>
void run(void (*kernel)(Arguments...), const unsigned* grid, const unsigned* block,
         void** arguments, std::index_sequence<I...>) {
    blockDim = {block[0], block[1], block[2]};
    for (blockIdx.z = 0; blockIdx.z < grid[2]; ++blockIdx.z)
        for (blockIdx.y = 0; blockIdx.y < grid[1]; ++blockIdx.y)
            for (blockIdx.x = 0; blockIdx.x < grid[0]; ++blockIdx.x)
                for (threadIdx.z = 0; threadIdx.z < block[2]; ++threadIdx.z)
                    for (threadIdx.y = 0; threadIdx.y < block[1]; ++threadIdx.y)
                        for (threadIdx.x = 0; threadIdx.x < block[0]; ++threadIdx.x)
                            kernel(*static_cast<Arguments*>(arguments[I])...);
}

template <typename Type>
char kind() {
    if (std::is_pointer<Type>::value) return 'p';
    return std::is_integral<Type>::value ? 'i' : 'f';
}

// Writes the kind of every parameter; returns how many there are.
template <typename... Arguments>
int signature(void (*)(Arguments...), char* kinds, unsigned* sizes) {
    const char all_kinds[] = {kind<Arguments>()...};
    const unsigned all_sizes[] = {sizeof(Arguments)...};
    std::memcpy(kinds, all_kinds, sizeof all_kinds);
    std::memcpy(sizes, all_sizes, sizeof all_sizes);
    return sizeof...(Arguments);
}

template <typename... Arguments>
void run_all(void (*kernel)(Arguments...), const unsigned* grid, const unsigned* block,
             void** arguments) {
    run(kernel, grid, block, arguments, std::index_sequence_for<Arguments...>{});
}

#define EXPORT(name)                                                                            \
    extern "C" int signature_of_##name(char* kinds, unsigned* sizes) {                          \
        return signature(name, kinds, sizes);                                                   \
    }                                                                                           \
    extern "C" void run_##name(const unsigned* grid, const unsigned* block, void** arguments) { \
        run_all(name, grid, block, arguments);                                                  \
    }
