// The loops of tritonseg_steps.kernels for a GPU: one thread per pixel, the same results.
//
// Every product and sum of scores is spelled __fmul_rn, __fadd_rn or __fsub_rn, in the order of the
// CPU's loops. A compiler may fuse `a * b + c` into one rounding; it may not fuse these, so that
// class maps are equal to the CPU's in every bit. Nothing is included: NVRTC comes without headers.
//
// Launches cover an extent of (rows, columns) with blocks that may reach beyond it.

typedef unsigned char uint8;

struct Pixel {
    int row;
    int column;
};

__device__ inline Pixel this_pixel() {
    return {static_cast<int>(blockIdx.y * blockDim.y + threadIdx.y),
            static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x)};
}

// Index of an element; the scores of many classes can be more than an int counts.
__device__ inline long long at(int plane, int row, int column, int height, int width) {
    return (static_cast<long long>(plane) * height + row) * width + column;
}

// Writes the class of the highest score; ties and NaN go to the lower class.
//
// scores_chw: (classes, height, width); classes_hw: (height, width).
extern "C" __global__ void lowest_argmax(
    const float* scores_chw, int classes, int height, int width, uint8* classes_hw) {
    const Pixel pixel = this_pixel();
    if (pixel.row >= height || pixel.column >= width) return;
    float best = scores_chw[at(0, pixel.row, pixel.column, height, width)];
    int winner = 0;
    for (int index = 1; index < classes; ++index) {
        const float score = scores_chw[at(index, pixel.row, pixel.column, height, width)];
        if (score > best) {
            best = score;
            winner = index;
        }
    }
    classes_hw[at(0, pixel.row, pixel.column, height, width)] = static_cast<uint8>(winner);
}

// Sets found[0] where a score is NaN or infinite; no difference of such is zero.
//
// scores_chw: (classes, height, width); found: (1,), written the same by whoever finds one.
extern "C" __global__ void find_not_finite(
    const float* scores_chw, int classes, int height, int width, uint8* found) {
    const Pixel pixel = this_pixel();
    if (pixel.row >= height || pixel.column >= width) return;
    for (int index = 0; index < classes; ++index) {
        const float score = scores_chw[at(index, pixel.row, pixel.column, height, width)];
        if (!(__fsub_rn(score, score) == 0.0f)) found[0] = 1;
    }
}

// Sets found[0] where a class is not one of the model's.
//
// classes_hw: (height, width); found: (1,).
extern "C" __global__ void find_other_class(
    const uint8* classes_hw, int height, int width, int class_count, uint8* found) {
    const Pixel pixel = this_pixel();
    if (pixel.row >= height || pixel.column >= width) return;
    if (classes_hw[at(0, pixel.row, pixel.column, height, width)] >= class_count) found[0] = 1;
}

// The four scores of one class around a pixel.
struct Corners {
    float upper_left;
    float upper_right;
    float lower_left;
    float lower_right;
};

// The square between four neighbouring scores, and how far down and across in it a pixel lies.
struct Cell {
    int top;
    int bottom;
    int left;
    int right;
    float down;
    float across;
};

__device__ inline float negative_infinity() {
    return __int_as_float(static_cast<int>(0xff800000u));
}

// Like Python's min and max, which keep the first of two that do not compare.
__device__ inline float lower(float a, float b) { return b < a ? b : a; }
__device__ inline float higher(float a, float b) { return b > a ? b : a; }

__device__ inline float lowest(const Corners& c) {
    return lower(lower(c.upper_left, c.upper_right), lower(c.lower_left, c.lower_right));
}

__device__ inline float highest(const Corners& c) {
    return higher(higher(c.upper_left, c.upper_right), higher(c.lower_left, c.lower_right));
}

__device__ inline float between(float from, float to, float weight) {
    return __fadd_rn(__fmul_rn(from, __fsub_rn(1.0f, weight)), __fmul_rn(to, weight));
}

__device__ inline Cell cell_of(
    const Pixel& pixel, const int* row_cells, const float* row_weights, const int* column_cells,
    const float* column_weights, int last_row, int last_column) {
    const int top = row_cells[pixel.row];
    const int left = column_cells[pixel.column];
    return {top,
            top < last_row ? top + 1 : last_row,
            left,
            left < last_column ? left + 1 : last_column,
            row_weights[pixel.row],
            column_weights[pixel.column]};
}

__device__ inline Corners corners_of(
    const float* scores_chw, int index, const Cell& cell, int height, int width) {
    return {scores_chw[at(index, cell.top, cell.left, height, width)],
            scores_chw[at(index, cell.top, cell.right, height, width)],
            scores_chw[at(index, cell.bottom, cell.left, height, width)],
            scores_chw[at(index, cell.bottom, cell.right, height, width)]};
}

// Interpolates the classes that can win; ties go to the lower class.
//
// Which can win decides ties: rounding can lift a class that cannot win up to the winner's score.
__device__ inline int winner_of(
    const float* scores_chw, int classes, const Cell& cell, int height, int width) {
    float bound = negative_infinity();
    for (int index = 0; index < classes; ++index) {
        bound = higher(bound, lowest(corners_of(scores_chw, index, cell, height, width)));
    }
    float best = negative_infinity();
    int winner = -1;
    for (int index = 0; index < classes; ++index) {
        const Corners c = corners_of(scores_chw, index, cell, height, width);
        if (!(highest(c) >= bound)) continue;
        const float score = between(between(c.upper_left, c.upper_right, cell.across),
                                    between(c.lower_left, c.lower_right, cell.across), cell.down);
        if (winner < 0 || score > best) winner = index;
        if (score > best) best = score;
    }
    return winner < 0 ? 0 : winner;
}

// Writes the argmax of the bilinearly interpolated scores for every pixel of the picture.
//
// scores_chw: (classes, height, width); classes_hw: (height, width), their argmax;
// row_cells, row_weights: (image_height,); column_cells, column_weights: (image_width,);
// last_row, last_column: the last cells that the picture's content reaches;
// class_map_hw: (image_height, image_width).
extern "C" __global__ void upsample_argmax(
    const float* scores_chw, int classes, int height, int width, const uint8* classes_hw,
    const int* row_cells, const float* row_weights, const int* column_cells,
    const float* column_weights, int last_row, int last_column, uint8* class_map_hw,
    int image_height, int image_width) {
    const Pixel pixel = this_pixel();
    if (pixel.row >= image_height || pixel.column >= image_width) return;
    const Cell cell = cell_of(
        pixel, row_cells, row_weights, column_cells, column_weights, last_row, last_column);
    int winner = classes_hw[at(0, cell.top, cell.left, height, width)];
    // Where all four corners agree, every point between them does.
    if (classes_hw[at(0, cell.top, cell.right, height, width)] != winner ||
        classes_hw[at(0, cell.bottom, cell.left, height, width)] != winner ||
        classes_hw[at(0, cell.bottom, cell.right, height, width)] != winner) {
        winner = winner_of(scores_chw, classes, cell, height, width);
    }
    class_map_hw[at(0, pixel.row, pixel.column, image_height, image_width)] =
        static_cast<uint8>(winner);
}

// The score of one class at a pixel; down first, as the CPU's loop for the confidence.
__device__ inline float score_at(
    const float* scores_chw, int index, const Cell& cell, int height, int width) {
    const Corners c = corners_of(scores_chw, index, cell, height, width);
    return between(between(c.upper_left, c.lower_left, cell.down),
                   between(c.upper_right, c.lower_right, cell.down), cell.across);
}

// Writes 255 times the highest interpolated score, or the softmax there; 0 where one is NaN.
//
// are_probabilities: whether scores are, or else logits; `negligible` is how far behind the best a
// logit no longer counts; the rest as above.
extern "C" __global__ void upsample_confidence(
    const float* scores_chw, int classes, int height, int width, const int* row_cells,
    const float* row_weights, const int* column_cells, const float* column_weights, int last_row,
    int last_column, int are_probabilities, float negligible, uint8* confidence_hw, int image_height, int image_width) {
    const Pixel pixel = this_pixel();
    if (pixel.row >= image_height || pixel.column >= image_width) return;
    const Cell cell = cell_of(
        pixel, row_cells, row_weights, column_cells, column_weights, last_row, last_column);
    float best = negative_infinity();
    for (int index = 0; index < classes; ++index) {
        best = higher(best, score_at(scores_chw, index, cell, height, width));
    }
    if (are_probabilities) {
        const bool is_one = best >= 0.0f && best <= 1.0f;
        confidence_hw[at(0, pixel.row, pixel.column, image_height, image_width)] =
            static_cast<uint8>(is_one ? __fadd_rn(__fmul_rn(255.0f, best), 0.5f) : 0.0f);
        return;
    }
    float total = 0.0f;
    for (int index = 0; index < classes; ++index) {
        const float behind =
            __fsub_rn(score_at(scores_chw, index, cell, height, width), best);
        if (!(behind <= negligible)) total = __fadd_rn(total, expf(behind));
    }
    const float share = total >= 1.0f ? __fadd_rn(__fdiv_rn(255.0f, total), 0.5f) : 0.0f;
    confidence_hw[at(0, pixel.row, pixel.column, image_height, image_width)] =
        static_cast<uint8>(share);
}

// Writes the class of the nearest cell.
//
// classes_hw: (height, width); rows: (image_height,); columns: (image_width,);
// class_map_hw: (image_height, image_width).
extern "C" __global__ void take_nearest(
    const uint8* classes_hw, int height, int width, const int* rows, const int* columns,
    uint8* class_map_hw, int image_height, int image_width) {
    const Pixel pixel = this_pixel();
    if (pixel.row >= image_height || pixel.column >= image_width) return;
    class_map_hw[at(0, pixel.row, pixel.column, image_height, image_width)] =
        classes_hw[at(0, rows[pixel.row], columns[pixel.column], height, width)];
}
